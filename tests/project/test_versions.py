# SPDX-License-Identifier: Apache-2.0
"""The version is stated once, and the import checks the installed libraries."""

import importlib
import importlib.util
import os
import re
import sys

import keras
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from paths import ROOT

import tfp_glow
from tfp_glow import _log_level, _versions

pytestmark = pytest.mark.matrix


def test_one_version():
    version = tfp_glow.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+|rc\d+)?", version)
    assert f'version = "{version}"' in (ROOT / "MODULE.bazel").read_text()
    assert re.search(rf"^version: {version}$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert version not in (ROOT / "setup.py").read_text()


def test_installed_libraries_are_accepted():
    _versions.check_libraries()


@pytest.mark.parametrize(("owner", "name", "api"), [
    (keras.Model, "_maybe_symbolic_build", "keras.Model._maybe_symbolic_build"),
    (tfp.bijectors.Bijector, "_get_parameterization", "tfb.Bijector._get_parameterization"),
    (tf.Module, "_no_dependency", "tf.Module._no_dependency"),
])
def test_a_private_api_that_is_gone_is_one_clear_error(monkeypatch, owner, name, api):
    for base in owner.__mro__:  # Keras and TensorFlow define some of them in two bases.
        if name in vars(base):
            monkeypatch.delattr(base, name)
    with pytest.raises(ImportError) as error:
        _versions.check_libraries()
    for part in (api, f"Keras {keras.__version__}", f"TensorFlow {tf.__version__}", "Tested: TensorFlow 2.18 to",
                 "Install tested versions"):
        assert part in str(error.value)


@pytest.mark.parametrize(("api", "exists"), [
    ("keras.Optimizer._trainable_variables", True),  # Only instances have it.
    ("keras.Optimizer._absent", False),
    ("keras.Absent._name", False),
    ("tensorflow.python.eager.record", True),
    ("tensorflow.python.eager.absent", False),
    ("tfb.Chain.__bases__", True),
])
def test_exists(api, exists):
    assert _versions._exists(api) is exists


@pytest.mark.parametrize(("module", "version", "message"), [
    (keras, "3.9.2", "requires Keras 3.10 or newer; 3.9.2 is installed.*pip install 'keras>=3.10'"),
    (tf, "2.17.1", "requires TensorFlow 2.18 or newer; 2.17.1 is installed"),
    (tfp, "0.24.0", "requires TensorFlow Probability 0.25.*pip install 'tensorflow-probability>=0.25'"),
])
def test_older_libraries_are_one_clear_error(monkeypatch, module, version, message):
    monkeypatch.setattr(module, "__version__", version)
    with pytest.raises(ImportError, match=message):
        _versions.check_libraries()


@pytest.mark.parametrize("version", ["2.22.0-rc0", "2.18.0", "2.100.1", "3.0.0-dev20270101"])
def test_newer_libraries_and_release_candidates_are_accepted(monkeypatch, version):
    monkeypatch.setattr(tf, "__version__", version)
    _versions.check_libraries()


@pytest.mark.parametrize(("version", "command"), [
    ("2.19.1", r"pip install 'tf-keras~=2\.19\.0'"), ("2.22.0-rc0", "pip install --no-deps tf-keras")])
def test_missing_tf_keras_names_the_command_that_keeps_tensorflow(monkeypatch, version, command):
    monkeypatch.setattr(tf, "__version__", version)
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tf_keras" else find_spec(name))
    with pytest.raises(ImportError, match=f"tf-keras, which is not installed; {command}"):
        _versions.check_libraries()


def test_missing_distutils_names_the_remedy(monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "distutils" else find_spec(name))
    with pytest.raises(ImportError, match="module distutils, which is not installed; pip install setuptools"):
        _versions.check_libraries()


def test_another_backend_is_one_clear_error(monkeypatch):
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(ImportError, match="TensorFlow backend; the backend is 'jax'.*KERAS_BACKEND=tensorflow"):
        _versions.check_libraries()


@pytest.mark.parametrize(("program", "level"), [
    ("/usr/bin/tfp-glow", "3"), (r"tfp-glow.exe", "3"), ("notebook.py", None), ("", None)])
def test_only_the_command_hides_log_lines(monkeypatch, program, level):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    monkeypatch.setattr(sys, "argv", [program])
    importlib.reload(_log_level)
    assert os.environ.get("TF_CPP_MIN_LOG_LEVEL") == level
    if level:
        monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "1")
        importlib.reload(_log_level)
        assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "1"
