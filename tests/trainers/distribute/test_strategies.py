# SPDX-License-Identifier: Apache-2.0
"""Training on several replicas, in one or several processes, gives the same results as on one device."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time

import keras
import numpy as np
import pytest
import replicas
import tensorflow as tf
from paths import ROOT
from worker import TINY

from trainers import data, presets, train
from trainers.distribute import strategies, workers
from trainers.runs.run_directory import RunDirectory

FLAGS = ("--data=digits", "--notensorboard", "--noreport")


@pytest.fixture(scope="module", autouse=True)
def _digits_are_prepared():
    data.load("digits")  # otherwise several processes would prepare the set at once


def start(script, *arguments, **environment):
    """Starts a Python script of tests/ in the root directory of the project."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / script), *arguments], cwd=ROOT, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", **environment})


@contextlib.contextmanager
def ended(processes):
    """Returns a context manager that kills the processes on exit."""
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("system", ["glow", "realnvp"])
def test_two_and_four_replicas_train_like_one_device(system):
    """Trains with gradient clipping and a moving average. Logical devices require a separate process."""
    processes = [start("replicas.py", str(count), system) for count in (2, 4)]
    with ended(processes):
        single = replicas.train(system, strategies.choose("none"))
        outputs = [process.communicate(timeout=500) for process in processes]
    for process, (out, err), count in zip(processes, outputs, (2, 4), strict=True):
        assert process.returncode == 0, err
        result = json.loads(out.splitlines()[-1])
        assert len(result["losses"]) == replicas.STEPS and (result["replicas"], result["equal"]) == (count, True)
        np.testing.assert_allclose(result["losses"], single["losses"], atol=1e-4)
        assert result["size"] == pytest.approx(single["size"], rel=1e-3)
        assert result["skipped"] == single["skipped"] == (system == "realnvp")


def free_ports(count):
    with contextlib.ExitStack() as sockets:
        found = [sockets.enter_context(socket.socket()) for _ in range(count)]
        for each in found:
            each.bind(("localhost", 0))
        return [each.getsockname()[1] for each in found]


def start_workers(run, count=2):
    cluster = {"worker": [f"localhost:{port}" for port in free_ports(count)]}
    return [start("worker.py", "--preset=tiny", *FLAGS, f"--output_dir={run}", TF_CONFIG=json.dumps(
        {"cluster": cluster, "task": {"type": "worker", "index": index}})) for index in range(count)]


def wait_for(path, processes, seconds=400):
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end and all(p.poll() is None for p in processes), [p.poll() for p in processes]
        time.sleep(0.01)


@pytest.fixture
def compare_with_one_device(tmp_path, monkeypatch):
    """Returns a function that compares a finished run of several workers with the same run on one device."""
    reference = RunDirectory(tmp_path / "one_device")

    def compare(run):
        assert train.main(["train", "--preset=tiny", *FLAGS, f"--output_dir={reference}"]) == 0
        for one, two in zip(reference.history(), run.history(), strict=True):
            for key in ("loss", "bits_per_dim", "val_bits_per_dim"):
                assert one[key] == pytest.approx(two[key], abs=1e-4)
        names = [sorted(str(path.relative_to(each.path)) for path in each.path.rglob("*") if path.is_file())
                 for each in (reference, run)]
        assert names[0] == names[1]
        points = tf.random.stateless_uniform((3, 8, 8, 1), (1, 2), maxval=17.0)
        a, b = (keras.saving.load_model(each.model_path).log_prob(points) for each in (reference, run))
        np.testing.assert_allclose(a, b, rtol=1e-3)
        served = tf.saved_model.load(str(run.saved_models / "1")).signatures["log_prob"](images=points)["log_prob"]
        np.testing.assert_allclose(served, b, rtol=1e-5)

    monkeypatch.setitem(presets.PRESETS, "tiny", TINY)
    return compare


def check_success(processes, expected):
    """Checks that two workers ended without an error and that the chief printed the expected text."""
    outputs = [process.communicate(timeout=400) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    (chief, _), (other, _) = outputs
    assert expected in chief and "is finished after 4 epochs" in chief
    assert other.startswith("worker 2 of 2: waiting for the other workers\n") and "epoch 4" not in other


def test_two_workers_train_like_one_device(compare_with_one_device, tmp_path):
    run = RunDirectory(tmp_path / "run")
    processes = start_workers(run)
    with ended(processes):
        check_success(processes, expected="worker 1 of 2: waiting for the other workers\n")
    compare_with_one_device(run)


@pytest.mark.slow
def test_a_lost_worker_stops_the_others_and_all_can_resume(compare_with_one_device, tmp_path):
    run = RunDirectory(tmp_path / "run")
    processes = start_workers(run)
    with ended(processes):
        wait_for(run.checkpoints / "epoch_0001.json", processes)
        processes[1].kill()
        _, err = processes[0].communicate(timeout=100)
    assert processes[0].returncode == 1
    assert [line for line in err.splitlines() if line.startswith("error: ")] == [err.splitlines()[-1]]
    assert "error: workers: another worker has ended or cannot be reached; start all workers again" in err
    assert 1 <= len(run.history()) < 4 and not run.is_finished()
    processes = start_workers(run)
    with ended(processes):
        check_success(processes, expected=f"{run}: resuming after epoch")
    compare_with_one_device(run)


CLUSTER = {"worker": ["a:1", "b:2"]}


@pytest.mark.parametrize(("config", "expected"), [
    (None, (0, 1)),
    ({}, (0, 1)),
    ({"cluster": {}, "task": {"type": "worker", "index": 0}}, (0, 1)),
    ({"cluster": CLUSTER, "task": {"type": "worker", "index": 1}}, (1, 2)),
    ({"cluster": {"chief": ["c:3"], **CLUSTER}, "task": {"type": "worker", "index": 1}}, (2, 3)),
    ({"cluster": {"chief": ["c:3"], **CLUSTER}, "task": {"type": "chief", "index": 0}}, (0, 3)),
])
def test_worker_index_and_count(config, expected, monkeypatch):
    if config is not None:
        monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    assert workers.worker_index_and_count() == expected


@pytest.mark.parametrize("text", [
    "{", "[]", '{"cluster": ["a:1"]}', '{"cluster": {"worker": ["a:1", "b:2"]}}',
    '{"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 2}}',
    '{"cluster": {"worker": ["a:1"], "ps": ["b:2"]}, "task": {"type": "worker", "index": 0}}'])
def test_an_invalid_tf_config_raises(text, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ValueError, match=r"TF_CONFIG: must be of the form \{.*; got "):
        strategies.choose("auto")


def test_a_worker_that_waits_says_for_whom(monkeypatch, capsys):
    """Another worker starts after a while. The port of this worker is open meanwhile, so that the other one sees it."""
    monkeypatch.setattr(workers, "_REPORT_SECONDS", 0.2)
    monkeypatch.setattr(workers, "_PROBE_SECONDS", 0.02)
    addresses = [f"localhost:{port}" for port in free_ports(3)]
    waiting = threading.Thread(target=workers.wait_for_ports, args=(1, addresses), daemon=True)
    with socket.create_server(("localhost", int(addresses[0].rpartition(":")[2]))):
        waiting.start()
        time.sleep(0.5)
        with socket.create_connection(("localhost", int(addresses[1].rpartition(":")[2])), timeout=5):
            pass
        with socket.create_server(("localhost", int(addresses[2].rpartition(":")[2]))):
            waiting.join(10)
    assert not waiting.is_alive()
    lines = capsys.readouterr().out.splitlines()
    assert 1 <= len(lines) <= 4 and set(lines) == {
        f"worker 2 of 3: still waiting for worker 3 at {addresses[2]}, for 0 min so far"}
    for bad in ("localhost:x", "localhost:99999", "nothing"):
        workers.wait_for_ports(0, [addresses[0], bad])  # TensorFlow names a wrong address.


def test_multi_worker_requires_several_workers():
    with pytest.raises(ValueError, match="strategy: multi_worker requires a TF_CONFIG of two or more workers"):
        strategies.choose("multi_worker")


def test_only_the_chief_writes_files(tmp_path, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": CLUSTER, "task": {"type": "worker", "index": 1}}))
    monkeypatch.setattr(workers, "are_several", lambda strategy: True)
    run = workers.run_dir(None, tmp_path / "run")
    run.check({"epochs": 1})
    run.open({"epochs": 1})
    with run.locked():
        run.rewind(0)
    assert not run.writes and not run.is_finished() and not list(tmp_path.iterdir())
