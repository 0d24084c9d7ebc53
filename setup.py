# SPDX-License-Identifier: Apache-2.0
"""Metadata of the package.

`pip install .` installs the requirements of `tfp_glow`, `.[train]` also those of the trainers, `.[serving]` those of
warm-up requests for TensorFlow Serving, and `.[test]` all of them and the test tools.
"""
from pathlib import Path

from setuptools import find_packages, setup

RUNTIME = [
    "keras>=3.15,<3.16",
    "numpy",
    "tensorflow>=2.21,<2.22",
    "tensorflow-probability>=0.25,<0.26",
    "tf-keras>=2.21,<2.22",  # tensorflow-probability 0.25 imports it; tfp_glow does not
]
TRAIN = [
    "absl-py",
    "importlib_resources",  # tensorflow-datasets 4.9.10 imports it without declaring it
    "jinja2",
    "matplotlib",
    "pillow",
    "scikit-learn",
    "tensorboard>=2.21,<2.22",  # writes TensorFlow's summaries
    "tensorflow-datasets>=4.9.10,<5",
    "tqdm",
]
SERVING = ["tensorflow-serving-api>=2.21,<2.22"]  # writes warm-up requests for TensorFlow Serving
TEST = TRAIN + SERVING + [
    "build",
    "h5py",
    "hypothesis",
    "mypy",
    "psutil",
    "pytest",
    "pytest-xdist",
    "ruff",
]

setup(
    name="tfp_glow",
    version="0.1.0",
    description="RealNVP, Glow, NICE, MAF and IAF as TensorFlow Probability bijectors with Keras 3 variables",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license_expression="Apache-2.0",
    license_files=["LICENSE"],
    keywords="normalizing flows, glow, realnvp, tensorflow probability, keras",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    python_requires=">=3.11",
    packages=[*find_packages(include=["tfp_glow", "tfp_glow.*", "trainers", "trainers.*"]), "tfp_glow.pretrained_runs"],
    package_dir={"tfp_glow.pretrained_runs": "pretrained"},
    package_data={"tfp_glow": ["py.typed"], "tfp_glow.pretrained_runs": ["*/*"],
                  "trainers.reporting": ["*.jinja"]},
    install_requires=RUNTIME,
    extras_require={"train": TRAIN, "serving": SERVING, "test": TEST},
    # On a case-insensitive file system `build/` and `BUILD` are the same name.
    options={"build": {"build_base": ".build"}},
)
