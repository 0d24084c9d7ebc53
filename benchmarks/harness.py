# SPDX-License-Identifier: Apache-2.0
"""What all benchmarks share: environments, processes, clocks, the machine, and flags of the command line.

The peers' environments import this module: it needs nothing outside the standard library.
"""

import argparse
import contextlib
import datetime
import importlib.metadata
import os
import platform
import queue
import re
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

_MAKING = threading.Lock()  # Two threads must not make one environment.
ROOT = Path(__file__).resolve().parents[1]
# The environment "ours" is that of this process.
PINS = {
    "bayesflow_jax": ("jax==0.10.2", "bayesflow==2.0.12"),
    "bayesflow_tensorflow": ("tensorflow==2.21.0", "bayesflow==2.0.12"),
    "normflows": ("torch==2.13.0", "normflows==1.7.3", "zuko==1.6.0"),
    "tfp": ("tensorflow==2.21.0", "tensorflow-probability==0.25.0", "tf-keras==2.21.0"),
}
PACKAGES = ("tensorflow", "tensorflow-probability", "keras", "tf-keras", "torch", "normflows", "zuko", "jax",
            "bayesflow")


def parser_of(doc: str, results: str, readme: str = "benchmarks/README.md") -> argparse.ArgumentParser:
    """Returns a parser with the flags that all benchmarks have.

    Args:
      doc: the description.
      results: name of the file of results in `benchmarks/results`.
      readme: path of the README of the table, from the root of the project.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results" / results,
                        help="JSON file of the results")
    parser.add_argument("--readme", type=Path, default=ROOT / readme, help="file that the table goes into")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs", help="directory of training runs")
    for environment, packages in {"bayesflow_jax": "JAX and BayesFlow", "normflows": "normflows and zuko",
                                  "bayesflow_tensorflow": "TensorFlow and BayesFlow"}.items():
        parser.add_argument(f"--{environment}_python",
                            help=f"Python of an environment that has {packages}; None to make one")
    parser.add_argument("--tfp_python", help="Python of an environment that has tf-keras; None to make one")
    return parser


def python_of(environment: str, args: argparse.Namespace) -> str:
    """Returns the interpreter of an environment, and makes `.venv-peers/ENVIRONMENT` if it is missing or outdated."""
    given = sys.executable if environment == "ours" else getattr(args, f"{environment}_python")
    if given:
        return given
    with _MAKING:
        return _python_of(environment)


def _python_of(environment: str) -> str:
    directory, pins = ROOT / ".venv-peers" / environment, PINS[environment]
    python, stamp = directory / "bin" / "python", directory / "pins.txt"
    if not stamp.exists() or stamp.read_text() != "\n".join(pins):
        print(f"Making {directory.relative_to(ROOT)} with {', '.join(pins)}.", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", directory], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *pins, "-c", ROOT / "constraints.txt"], check=True)
        stamp.write_text("\n".join(pins))
    return str(python)


def define_at_once(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--at_once", type=int, default=1, help="trainings at a time; above 1, each has one core")


def side_by_side(args: argparse.Namespace, function: Callable[..., Any], *items: Iterable[Any]) -> Iterator[Any]:
    """Yields the results of a function that takes a core by `core_of`, in the order of the items.

    `args.at_once` calls run at a time.
    """
    args.free_cores = queue.SimpleQueue()
    for core in range(args.at_once):
        args.free_cores.put(core)
    with ThreadPoolExecutor(args.at_once) as pool:
        yield from pool.map(function, *items)


@contextlib.contextmanager
def core_of(args: argparse.Namespace) -> Iterator[tuple[str, ...]]:
    """Returns a context manager of the command that keeps a program on a free core; the empty tuple for all cores."""
    if args.at_once == 1:
        yield ()
        return
    core = args.free_cores.get()
    try:
        yield ("taskset", "-c", str(core))
    finally:
        args.free_cores.put(core)


def allotment(record: Mapping[str, Any]) -> str:
    """Returns a sentence on the cores of each training."""
    number = record.get("at_once", 1)
    return f"{number} trainings ran at a time, each on one core." if number > 1 else "Each training had all cores."


def run_module(python: str, module: str, *arguments: Any, prefix: Sequence[str] = (), threads: str | None = None,
               **options: Any) -> subprocess.CompletedProcess:
    """Runs a module of the benchmarks in a process of its own; see `subprocess.run` for `options`.

    Args:
      python: the interpreter.
      module: name of the module in the package `benchmarks`.
      *arguments: the command line.
      prefix: command before the interpreter, such as `("taskset", "-c", "0,1")`.
      threads: threads of each TensorFlow operation; None for TensorFlow's default.
      **options: of `subprocess.run`.
    """
    environ = {**os.environ, **({"TF_NUM_INTRAOP_THREADS": threads} if threads else {})}
    return subprocess.run([*prefix, python, "-m", f"benchmarks.{module}", *map(str, arguments)], cwd=ROOT, env=environ,
                          text=True, **options)


def versions() -> dict[str, str]:
    """Returns the versions of the measured packages in this environment."""
    found = {d.metadata["Name"].lower().replace("_", "-"): d.version for d in importlib.metadata.distributions()}
    return {name: found[name] for name in PACKAGES if name in found}


def machine() -> dict[str, Any]:
    """Returns processor, cores, memory, system, Python and today's date."""
    info = Path("/proc/cpuinfo")
    models = re.findall(r"model name\s*: (.*)", info.read_text()) if info.exists() else []
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {"processor": models[0] if models else platform.machine(), "cores": os.cpu_count(),
            "memory_gib": round(memory), "system": platform.system(), "python": platform.python_version(),
            "date": datetime.date.today().isoformat()}


def describe(here: Mapping[str, Any], packages: Mapping[str, str]) -> str:
    """Returns a machine and versions as a sentence."""
    listed = ", ".join(f"{name} {version}" for name, version in packages.items())
    return (f"{here['date']}, {here['processor']}, {here['cores']} cores, {here['memory_gib']} GiB, {here['system']}, "
            f"Python {here['python']}; {listed}.")


def add_round(cases: Sequence[Any], measure: Callable[[Any], dict[str, Any]], record: dict[str, Any],
              title: str) -> None:
    """Measures all cases of a round and adds them to a record.

    Args:
      cases: named tuples that describe the programs to start.
      measure: a function that starts a case and returns its figures and versions, or its error.
      record: a dict of all rounds, to which the measurements, the versions and the round are added.
      title: start of the line that is printed per case.
    """
    for index, case in enumerate(cases):
        measured = measure(case)
        record["versions"].update(measured.pop("versions", {}))
        record["measurements"].append({**case._asdict(), "round": record["rounds"], **measured})
        seconds = [f"{name} {value:.3g}" for name, value in measured["figures"].items() if name.endswith("_s")]
        print(f"[{title}, {index + 1}/{len(cases)}] {', '.join(map(str, case))}: "
              f"{measured.get('error') or ', '.join(seconds)}", flush=True)
    record["rounds"] += 1


def median_seconds(function: Callable[[], Any], calls: int, budget: float = 20.0) -> float:
    """Returns the median time of up to `calls` calls, or of at least 3 if they take more than `budget` seconds."""
    times: list[float] = []
    while len(times) < calls and (len(times) < 3 or sum(times) < budget):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def peak_rss_gb() -> float:
    """Returns the peak resident memory of this process, in GB."""
    status = Path("/proc/self/status")
    if status.exists():  # `getrusage` would count what the parent had before `exec`.
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())[0]) * 1024 / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e9  # macOS counts bytes.
