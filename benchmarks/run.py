# SPDX-License-Identifier: Apache-2.0
"""Ours and the peers in one run: `python -m benchmarks.run [--full]`; see the README beside this file.

Each measurement is a process of its own. TensorFlow is not imported here, nor anything else that would take memory or
processor time from what is measured.
"""

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

from benchmarks import environments
from benchmarks.plan import PROGRAMS, cases_of_round
from benchmarks.report import BEGIN, END, markdown, put_between_markers
from benchmarks.results import Results

HERE = Path(__file__).resolve().parent


def parse_arguments(argv=None):
    def numbers(text):
        return sorted(int(part) for part in text.split(","))

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--full", action="store_true", help="width 512 too, and every program at every depth")
    parser.add_argument("--rounds", type=int, default=3, help="how often the programs take turns")
    parser.add_argument("--widths", type=numbers, help="widths, by default 128, with --full 128,512")
    parser.add_argument("--depths", type=numbers, default=[4, 8, 16, 32], help="values of K")
    parser.add_argument("--batch", type=int, default=32, help="batch size")
    parser.add_argument("--programs", nargs="+", choices=PROGRAMS, default=list(PROGRAMS), help="only these")
    parser.add_argument("--normflows_python", help="the interpreter of an environment that has the peer already")
    parser.add_argument("--tfp_python", help="likewise; that of this package will do")
    parser.add_argument("--prefix", default="", help="put before every command, such as 'taskset -c 0,1'")
    parser.add_argument("--add", action="store_true", help="keep what results.json has, and add rounds to it")
    parser.add_argument("--report_only", action="store_true", help="measure nothing: results.json into table and plot")
    parser.add_argument("--out", type=Path, default=HERE, help="where results.json, README.md and depth.png are")
    return parser.parse_args(argv)


def measure(case, python, prefix, batch):
    """Starts a process for a case and returns what it printed, as a dict of numbers, or the error it ended with."""
    command = [*prefix, python, "-m", *case.command(batch)]
    done = subprocess.run(command, cwd=HERE.parent, capture_output=True, text=True)
    if done.returncode:
        return {}, f"exit code {done.returncode}: {done.stderr.strip()[-2000:]}"
    return {name: float(value) for name, value in (line.split() for line in done.stdout.splitlines())}, None


def machine():
    """What the measurements were made on."""
    info = Path("/proc/cpuinfo")
    models = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
              ] if info.exists() else [platform.processor()]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {"processor": models[0] if models else platform.machine(), "cores": os.cpu_count(),
            "memory_gib": round(memory), "system": platform.system(), "python": platform.python_version(),
            "date": date.today().isoformat()}


def setting_of(record):
    """The machine and the versions in a paragraph."""
    m = record["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    return (f"{m['date']}, {m['processor']}, {m['cores']} cores, {m['memory_gib']} GiB, {m['system']}, "
            f"Python {m['python']}; {versions}. Batch {record['batch']}, 32x32x3 images, 3 levels. Medians over "
            f"{record['rounds']} rounds; in brackets the ratio of each round.")


def versions_of(pythons):
    names = {"ours": ("tensorflow", "tensorflow-probability", "keras"), "normflows": ("torch", "normflows"),
             "tfp": ("tf-keras",)}
    return {name: version for environment, python in pythons.items()
            for name, version in environments.versions(python, names[environment]).items()}


def measure_all(args, record, save):
    """Runs every case of every round, and saves after each."""
    wanted = {PROGRAMS[name].environment for name in args.programs}
    given = {"ours": sys.executable, "normflows": args.normflows_python, "tfp": args.tfp_python}
    pythons = {name: given[name] or environments.python_of(name) for name in given if name in wanted}
    record.update(machine=machine(), batch=args.batch, versions={**record["versions"], **versions_of(pythons)})
    start, first = time.time(), record["rounds"]
    for number in range(args.rounds):
        cases = [case for case in cases_of_round(number, args.widths, args.depths, args.full)
                 if case.program in args.programs]
        for index, case in enumerate(cases):
            figures, error = measure(case, pythons[PROGRAMS[case.program].environment], shlex.split(args.prefix),
                                     args.batch)
            record["measurements"].append({**case._asdict(), "round": first + number, "figures": figures,
                                           **({"error": error} if error else {})})
            record["rounds"] = first + number + 1
            save()
            told = error or ", ".join(f"{name} {value:.3g}" for name, value in figures.items() if name.endswith("_s"))
            print(f"[{time.time() - start:.0f} s, round {number + 1}/{args.rounds}, {index + 1}/{len(cases)}] "
                  f"{case.program}, {case.task}, K={case.depth}, width {case.width}: {told}", flush=True)


def main(argv=None):
    args = parse_arguments(argv)
    args.widths = args.widths or ([128, 512] if args.full else [128])
    args.out.mkdir(parents=True, exist_ok=True)
    path, readme = args.out / "results.json", args.out / "README.md"
    record = {"machine": {}, "versions": {}, "batch": args.batch, "rounds": 0, "measurements": []}
    if args.add or args.report_only:
        if not path.exists():
            sys.exit(f"There is no {path} to take measurements from.")
        record = json.loads(path.read_text())
        if args.add and record["batch"] != args.batch:
            sys.exit(f"{path} is of batch size {record['batch']}; received --batch={args.batch}.")
    if not args.report_only:
        # The last run's results stay until this one is complete.
        partial = path.with_name("results.partial.json")
        measure_all(args, record, lambda: partial.write_text(json.dumps(record, indent=1) + "\n"))
        partial.replace(path)
    results = Results(record["measurements"])
    text = readme.read_text() if readme.exists() else f"{BEGIN}\n{END}\n"
    readme.write_text(put_between_markers(text, markdown(results, setting_of(record))))
    from benchmarks.plot import save_plot  # Not before the measurements are done.
    save_plot(results, args.out / "depth.png")
    print(markdown(results, setting_of(record)))
    failed = [m for m in record["measurements"] if "error" in m]
    if failed:
        sys.exit(f"{len(failed)} measurements failed: {sorted({m['program'] for m in failed})}; see {path}.")


if __name__ == "__main__":
    main()
