# SPDX-License-Identifier: Apache-2.0
"""The smoke presets of RealNVP: training, evaluation, sampling and SavedModel.

RealNVP traces a separate graph per coupling, so these tests train eagerly. The exported functions are graphs.
"""

import pytest
import tensorflow as tf
from test_smoke import HERE, check_run

from trainers.runs import trained_models

SMOKE = [name for name in HERE if "realnvp" in name]
FAST = ("digits_realnvp_classes_smoke", "realnvp_imagenet32_smoke")  # both numbers of scales


@pytest.mark.filterwarnings("ignore:Even though the `tf.config.experimental_run_functions_eagerly`")
@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name not in FAST))
                                  for name in SMOKE])
def test_smoke_preset_runs(name, tmp_path, capsys, monkeypatch):
    save = trained_models.save

    def save_graphs(*arguments):
        tf.config.run_functions_eagerly(False)
        save(*arguments)
        tf.config.run_functions_eagerly(True)

    monkeypatch.setattr(trained_models, "save", save_graphs)
    check_run(name, True, tmp_path, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("name", SMOKE)
def test_smoke_preset_runs_in_graphs(name, tmp_path, capsys):
    check_run(name, False, tmp_path, capsys)
