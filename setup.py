# SPDX-License-Identifier: Apache-2.0
"""Metadata: `pip install .` brings what `tfp_glow` needs, `.[train]` what the trainers add, `.[serving]` what
TensorFlow Serving's warm-up requests need, `.[test]` all.
"""
from pathlib import Path

from setuptools import find_packages, setup

RUNTIME = [
    "keras>=3.15,<3.16",
    "numpy",
    "tensorflow>=2.21,<2.22",
    "tensorflow-probability>=0.25,<0.26",
    "tf-keras>=2.21,<2.22",  # only because tensorflow-probability 0.25 imports it; tfp_glow never does
]
TRAIN = [
    "absl-py",
    "importlib_resources",  # tensorflow-datasets 4.9.10 imports it without declaring it
    "matplotlib",
    "pillow",
    "scikit-learn",
    "tensorboard>=2.21,<2.22",  # TensorFlow's summaries are written by it
    "tensorflow-datasets>=4.9.10,<5",
    "tqdm",
]
SERVING = ["tensorflow-serving-api>=2.21,<2.22"]  # writes warm-up requests for TensorFlow Serving
TEST = TRAIN + SERVING + [
    "build",
    "h5py",
    "hypothesis",
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
    package_data={"tfp_glow.pretrained_runs": ["*/*"]},
    install_requires=RUNTIME,
    extras_require={"train": TRAIN, "serving": SERVING, "test": TEST},
    # `build/` and `BUILD` would be one name on a case-insensitive file system.
    options={"build": {"build_base": ".build"}},
)
