# SPDX-License-Identifier: Apache-2.0
"""The smoke presets of RealNVP, pyramids, PixelCNN and two Glows: training, evaluation, sampling and SavedModel.

Tracing takes most of the time of such a run, so these tests train eagerly. The exported functions are graphs.
"""

import contextlib

import pytest
from small_runs import eager_programs
from test_smoke import EAGER, check_run

# A RealNVP, a pyramid and a Glow. tests/flows/test_flows.py has pyramids of the other kinds.
FAST = ("realnvp_imagenet32_smoke", "fashion_mnist_coupling_smoke", "cifar10_glow_classes_smoke")


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name not in FAST))
                                  for name in EAGER])
def test_smoke_preset_runs(name, tmp_path, capsys):
    check_run(name, eager_programs(), tmp_path, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("name", EAGER)
def test_smoke_preset_runs_in_graphs(name, tmp_path, capsys):
    check_run(name, contextlib.nullcontext(), tmp_path, capsys)
