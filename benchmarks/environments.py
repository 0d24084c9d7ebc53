# SPDX-License-Identifier: Apache-2.0
"""An environment for each peer under `.venv-peers/`, made once and again when its pins change."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PINS = {
    "normflows": ("torch==2.13.0", "normflows==1.7.3"),
    "tfp": ("tensorflow==2.21.0", "tensorflow-probability==0.25.0", "tf-keras==2.21.0"),
}


def python_of(peer):
    """The interpreter of a peer's environment, which is made if it is not there."""
    directory = ROOT / ".venv-peers" / peer
    python, stamp = directory / "bin" / "python", directory / "pins.txt"
    pins = "\n".join(PINS[peer])
    if not stamp.exists() or stamp.read_text() != pins:
        print(f"Making {directory.relative_to(ROOT)} with {', '.join(PINS[peer])}.", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", directory], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PINS[peer], "-c", ROOT / "constraints.txt"],
                       check=True)
        stamp.write_text(pins)
    return str(python)


def versions(python, packages):
    """The versions of some packages in an environment, by name."""
    code = "import importlib.metadata as m, sys; print(*map(m.version, sys.argv[1:]))"
    found = subprocess.run([python, "-c", code, *packages], check=True, capture_output=True, text=True).stdout.split()
    return dict(zip(packages, found, strict=True))
