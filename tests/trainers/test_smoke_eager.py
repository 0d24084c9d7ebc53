# SPDX-License-Identifier: Apache-2.0
"""The smoke presets of RealNVP and of pyramids: training, evaluation, sampling and SavedModel.

These flows trace a separate graph per layer, so these tests train eagerly. The exported functions are graphs.
"""

import pytest
import tensorflow as tf
from test_smoke import EAGER, check_run

from trainers.runs import trained_models

# A RealNVP and a pyramid of each kind. tests/flows/test_flows.py has a pyramid of couplings over colors.
FAST = ("realnvp_imagenet32_smoke", "fashion_mnist_best_smoke", "fashion_mnist_coupling_smoke")


@pytest.mark.filterwarnings("ignore:Even though the `tf.config.experimental_run_functions_eagerly`")
@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name not in FAST))
                                  for name in EAGER])
def test_smoke_preset_runs(name, tmp_path, capsys, monkeypatch):
    save = trained_models.save

    def save_graphs(*arguments):
        tf.config.run_functions_eagerly(False)
        save(*arguments)
        tf.config.run_functions_eagerly(True)

    monkeypatch.setattr(trained_models, "save", save_graphs)
    check_run(name, True, tmp_path, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("name", EAGER)
def test_smoke_preset_runs_in_graphs(name, tmp_path, capsys):
    check_run(name, False, tmp_path, capsys)
