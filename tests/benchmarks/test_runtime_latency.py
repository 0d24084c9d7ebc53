# SPDX-License-Identifier: Apache-2.0
"""The table of benchmarks/README.md about runtimes, from its results."""

import json

from paths import ROOT

from benchmarks import runtimes


def test_the_readme_shows_the_results():
    record = json.loads((ROOT / "benchmarks/results/runtimes.json").read_text())
    text = runtimes.text_of(record)
    assert f"<!-- runtimes: begin -->\n{text}\n<!-- runtimes: end -->" in (ROOT / "benchmarks/README.md").read_text()
    measured = {(each["runtime"], each["signature"], each["batch"]) for each in record["measurements"]}
    assert measured == {(runtime, name, size) for runtime, _, _ in measured for name in runtimes.SIGNATURES
                        for size in runtimes.BATCHES}
    assert {runtime.partition(",")[0] for runtime, _, _ in measured} == {
        "TensorFlow", "ONNX Runtime", "LiteRT", "TensorFlow.js in Node"}


def test_speeds_are_relative_to_tensorflow():
    record = {"machine": {"date": "d", "processor": "p", "cores": 2, "memory_gib": 1, "system": "s", "python": "3"},
              "versions": {"a": "1"}, "busy": True, "rounds": 3, "measurements": [
                  {"runtime": runtime, "signature": name, "batch": size, "seconds": [9.0, seconds, 0.001]}
                  for runtime, seconds in (("TensorFlow", 0.004), ("other", 0.002))
                  for name in runtimes.SIGNATURES for size in runtimes.BATCHES]}
    assert "| other | 2 (2) | 2 (2) | 2 (2) | 2 (2) |" in runtimes.text_of(record)
    assert "Other programs ran on the machine meanwhile." in runtimes.text_of(record)
