# SPDX-License-Identifier: Apache-2.0
"""The small twins of RealNVP's presets, from training to the SavedModel.

RealNVP has no loop to trace, but a graph for each coupling, so the steps are eager here; the exported ones are graphs.
"""

import pytest
import tensorflow as tf
from test_smoke import HERE, check_whole_run

from trainers.runs import trained_models

TWINS = [name for name in HERE if "realnvp" in name]


@pytest.mark.filterwarnings("ignore:Even though the `tf.config.experimental_run_functions_eagerly`")
@pytest.mark.parametrize("name", TWINS)
def test_every_small_twin_runs_whole(name, tmp_path, capsys, monkeypatch):
    save = trained_models.save

    def save_graphs(*arguments):
        tf.config.run_functions_eagerly(False)
        save(*arguments)
        tf.config.run_functions_eagerly(True)

    monkeypatch.setattr(trained_models, "save", save_graphs)
    check_whole_run(name, True, tmp_path, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("name", TWINS)
def test_every_small_twin_runs_whole_in_graphs(name, tmp_path, capsys):
    check_whole_run(name, False, tmp_path, capsys)
