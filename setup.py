# SPDX-License-Identifier: Apache-2.0
"""Metadata of the package.

`pip install .` installs the library beside the TensorFlow that is there. The extra `[tf]` adds tf-keras for a new
environment, `[train]` the requirements of the command `tfp-glow`, `[test]` all of them and the test tools, and `[docs]`
what builds the site in `docs/`.
"""
import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent
# Only TEST and DOCS name a package that requires TensorFlow of its own version, such as tf-keras: pip would replace the
# TensorFlow that is installed.
RUNTIME = [
    "keras>=3.10",
    "numpy>=1.26",
    "protobuf",  # TensorFlow requires it, in a range of versions
    "setuptools; python_version >= '3.12'",  # TensorFlow Probability imports distutils, which Python had until 3.11
    "tensorflow>=2.18",
    "tensorflow-probability>=0.25",
]
TF = ["tf-keras>=2.18"]  # TensorFlow Probability imports it without requiring it; tfp_glow does not import it
TRAIN = [
    "absl-py",
    "googleapis-common-protos<1.75.1",  # 1.75.1 requires protobuf 6, and TensorFlow 2.19 protobuf 5
    "importlib_resources",  # tensorflow-datasets 4.9.10 imports it without declaring it
    "jinja2",
    "matplotlib",
    "pillow",
    "scikit-learn",
    "tensorboard",  # writes TensorFlow's summaries
    "tensorflow-datasets>=4.9.10,<5",
    "tensorflow-metadata<1.18",  # 1.21 requires protobuf 6 at run time, and TensorFlow up to 2.19 protobuf 5
    "tqdm",
]
# For exports to other runtimes.
ONNX = ["onnx", "onnxruntime", "tf2onnx>=1.16.1"]
LITERT = ["ai-edge-litert"]
TEST = TF + TRAIN + ONNX + [
    "build",
    "h5py",
    "hypothesis",
    "mypy",
    "packaging",
    "psutil",
    "pytest",
    "pytest-xdist",
    "ruff",
    "tensorflow-serving-api>=2.18",  # reads warm-up requests for TensorFlow Serving
]
DOCS = TF + TRAIN + [
    "furo",
    "ipykernel",
    "jupytext",
    "latex2mathml",
    "myst-nb",
    "pytest",  # a tutorial runs the tests of bijectors
    "sphinx",
    "tensorflow-serving-api>=2.18",  # a tutorial writes a client
    "ziamath",  # ships the font of the formulas
]
# The wheel holds the trained models while they are small. `tfp_glow.load_pretrained` finds them elsewhere otherwise.
PRETRAINED_LIMIT = 60e6
PRETRAINED = ["tfp_glow.pretrained_runs"] if sum(
    path.stat().st_size for path in (ROOT / "pretrained").rglob("*")) <= PRETRAINED_LIMIT else []

setup(
    name="tfp_glow",
    version=re.search('^__version__ = "(.+)"$', (ROOT / "tfp_glow/_versions.py").read_text(), re.MULTILINE).group(1),
    description="RealNVP, Glow, NICE, MAF and IAF as TensorFlow Probability bijectors with Keras 3 variables",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license_expression="Apache-2.0",
    license_files=["LICENSE"],
    keywords="normalizing flows, glow, realnvp, tensorflow probability, keras",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    python_requires=">=3.10",
    # The folder `trainers` is installed as `tfp_glow.trainers`: the wheel claims one name in the environment.
    packages=[
        *find_packages(include=["tfp_glow", "tfp_glow.*"]),
        *(f"tfp_glow.{package}" for package in find_packages(include=["trainers", "trainers.*"])),
        *PRETRAINED,
    ],
    package_dir={"tfp_glow.trainers": "trainers", "tfp_glow.pretrained_runs": "pretrained"},
    package_data={
        "tfp_glow": ["py.typed"],
        "tfp_glow.models": ["pretrained.json"],
        "tfp_glow.pretrained_runs": ["*/*"],
        "tfp_glow.trainers.reporting": ["*.jinja"],
    },
    entry_points={"console_scripts": ["tfp-glow = tfp_glow.trainers.__main__:main"]},
    install_requires=RUNTIME,
    extras_require={"tf": TF, "train": TRAIN, "onnx": ONNX, "litert": LITERT, "test": TEST, "docs": DOCS},
    # On a case-insensitive file system `build/` and `BUILD` are the same name.
    options={"build": {"build_base": ".build"}},
)
