# SPDX-License-Identifier: Apache-2.0
"""The version of this package, and a check of the installed libraries that runs when the package is imported."""

import dis
import importlib
import importlib.util
import inspect
import pkgutil
import re

import keras
import tensorflow as tf

__version__ = "0.1.0"

# The first and the last version of each library in `make matrix`.
TESTED = {"TensorFlow": ("2.18", "2.22"), "Keras": ("3.10", "3.16"), "TensorFlow Probability": ("0.25", "0.26")}
_COMPATIBILITY_MODULES = ("_compat_tensorflow", "_compat_keras", "_compat_tfp")
_ALIASES = {"tf": "tensorflow", "tfb": "tensorflow_probability.bijectors"}


def check_libraries() -> None:
    """Checks the versions of the installed libraries and the presence of each private API that this package uses.

    Raises:
      ImportError: if a library is too old, or lacks a private API; if Keras has another backend than TensorFlow; or if
        `tf_keras`, which TensorFlow Probability imports, is not installed.
    """
    _check_floor("TensorFlow", tf.__version__)
    _check_floor("Keras", keras.__version__)
    if keras.config.backend() != "tensorflow":
        raise ImportError(f"tfp_glow requires Keras's TensorFlow backend; the backend is {keras.config.backend()!r}. "
                          "Set the environment variable KERAS_BACKEND=tensorflow before Keras is imported.")
    if importlib.util.find_spec("tf_keras") is None:
        raise ImportError("TensorFlow Probability requires the package tf-keras, which is not installed; "
                          f"{_install_tf_keras(tf.__version__)}")
    if importlib.util.find_spec("distutils") is None:  # Python from 3.12 on has it from setuptools only.
        raise ImportError("TensorFlow Probability requires the module distutils, which is not installed; "
                          "pip install setuptools")
    import tensorflow_probability as tfp  # After the check of `tf_keras`: the import fails without it.

    _check_floor("TensorFlow Probability", tfp.__version__)
    missing: list[str] = []
    cause = None
    for name in _COMPATIBILITY_MODULES:
        try:
            module = importlib.import_module(f"tfp_glow.{name}")
        except (ImportError, AttributeError) as error:
            missing, cause = [str(error)], error
        else:
            missing += [api for api in module.PRIVATE_APIS if not _exists(api)]
    if missing:
        present = {"TensorFlow": tf.__version__, "Keras": keras.__version__, "TensorFlow Probability": tfp.__version__}
        raise ImportError(
            f"tfp_glow {__version__} uses private APIs that the installed libraries do not have: {', '.join(missing)}. "
            f"Installed: {', '.join(f'{library} {version}' for library, version in present.items())}. Tested: "
            f"{_tested()}. Install tested versions, or a newer tfp_glow.") from cause


def _check_floor(library: str, version: str) -> None:
    first = TESTED[library][0]
    if _numbers(version) < _numbers(first):
        package = library.lower().replace(" ", "-")
        raise ImportError(f"tfp_glow {__version__} requires {library} {first} or newer; {version} is installed. "
                          f"Tested: {_tested()}. To upgrade: pip install '{package}>={first}'")


def _numbers(version: str) -> list[int]:
    """Returns the first two numbers of a version: `[2, 18]` for `"2.18.1rc0"`."""
    return [int(number) for number in re.findall(r"\d+", version)[:2]]


def _tested() -> str:
    return ", ".join(f"{library} {first} to {last}" for library, (first, last) in TESTED.items())


def _install_tf_keras(version: str) -> str:
    """Returns the command that installs the `tf_keras` of a version of TensorFlow, and does not replace TensorFlow."""
    if re.fullmatch(r"[\d.]+", version):
        major, minor = _numbers(version)
        return f"pip install 'tf-keras~={major}.{minor}.0'"
    return "pip install --no-deps tf-keras"  # A release of tf-keras excludes pre-releases of the next TensorFlow.


def _exists(name: str) -> bool:
    """Returns True if a private API, such as `keras.Variable._initialize`, exists.

    An attribute that only instances have exists if a method of the class assigns it.
    """
    root, _, rest = name.partition(".")
    path = f"{_ALIASES.get(root, root)}.{rest}"
    try:
        pkgutil.resolve_name(path)
        return True
    except (ImportError, AttributeError):
        owner, _, attribute = path.rpartition(".")
    try:
        classes = inspect.getmro(pkgutil.resolve_name(owner))
    except (ImportError, AttributeError):
        return False
    methods = [inspect.unwrap(value) for kind in classes for value in vars(kind).values() if inspect.isfunction(value)]
    return any((step.opname, step.argval) == ("STORE_ATTR", attribute)
               for method in methods for step in dis.get_instructions(method))


check_libraries()
