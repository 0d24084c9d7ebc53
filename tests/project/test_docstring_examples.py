# SPDX-License-Identifier: Apache-2.0
"""Every `>>>` example in a docstring of the library or the trainers runs and prints the documented output."""

import dataclasses
import doctest
import importlib
import pkgutil

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow
import trainers

GLOBALS = {"dataclasses": dataclasses, "keras": keras, "np": np, "tf": tf, "tfp": tfp, "tfb": tfp.bijectors,
           "tfd": tfp.distributions, "tfgb": tfp_glow.bijectors, "tfp_glow": tfp_glow}


def _examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    for package in (tfp_glow, trainers):
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            module = importlib.import_module(info.name)
            for test in finder.find(module, extraglobs=GLOBALS):
                if test.examples:
                    yield test


EXAMPLES = {test.name: test for test in _examples()}


def test_there_are_examples():
    assert len(EXAMPLES) >= 60


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_example_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(0)
    printed: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert runner.run(EXAMPLES[name], out=printed.append, clear_globs=False).failed == 0, "".join(printed)
