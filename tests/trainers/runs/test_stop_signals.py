# SPDX-License-Identifier: Apache-2.0
"""Signals that stop a program: one line, the exit code of a shell, and a checkpoint of a model that is trained."""

import os
import signal
import subprocess
import sys
import threading
import time

import keras
import numpy as np
import pytest
from absl import flags
from paths import ROOT

from trainers import _command_line
from trainers.callbacks.checkpoint_saving import SaveCheckpoint, SaveCheckpointWithinEpoch
from trainers.runs import stop_signals
from trainers.runs.checkpoints import Checkpoints

pytestmark = pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread(), reason="Python handles signals in the main thread only")


@pytest.fixture(autouse=True)
def ctrl_c_is_not_ignored():
    """A shell starts programs in the background with SIGINT ignored, and they and their children keep that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def send(number):
    os.kill(os.getpid(), number)
    time.sleep(0.01)


def outcome(program, capsys):
    """Runs a program as `trainers` does and returns its exit code and the lines it prints to stderr."""
    code = _command_line.run(lambda options: program(), flags.FlagValues(), ["program"], "")
    return code, capsys.readouterr().err.splitlines()


def swallow():
    """Turns the interrupt into another error, as an interrupted import may."""
    try:
        send(signal.SIGINT)
    except KeyboardInterrupt:
        raise ImportError("partially initialized module") from None


def test_signals_end_a_program_with_one_line(capsys):
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert outcome(lambda: send(signal.SIGINT), capsys) == (130, ["interrupted"])
    assert outcome(swallow, capsys) == (130, ["interrupted"])
    assert outcome(lambda: send(signal.SIGTERM), capsys) == (143, ["terminated"])
    assert outcome(lambda: None, capsys) == (0, [])
    with pytest.raises(ZeroDivisionError):
        outcome(lambda: 1 / 0, capsys)
    assert handlers == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


def test_signals_that_are_ignored_stay_ignored(capsys):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert outcome(lambda: send(signal.SIGINT), capsys) == (0, [])
    finally:
        signal.signal(signal.SIGINT, before)
    codes = []  # Only the main thread may install handlers.
    thread = threading.Thread(target=lambda: codes.append(outcome(lambda: None, capsys)))
    thread.start()
    thread.join()
    assert codes == [(0, [])]


def test_a_deferred_signal_is_raised_at_the_end(capsys):
    def once():
        with stop_signals.deferred():
            assert not stop_signals.is_pending()
            send(signal.SIGTERM)
            assert stop_signals.is_pending()

    def twice():
        with stop_signals.deferred():
            send(signal.SIGTERM)
            send(signal.SIGTERM)
            raise AssertionError("the second signal is not deferred")

    assert outcome(once, capsys) == (143, ["terminated after the last step; the same command finishes the run"])
    assert outcome(twice, capsys) == (143, ["terminated"])


@pytest.mark.parametrize(("batch", "epoch", "step", "text"), [
    (1, 0, 2, "after epoch 0 and 2 steps"), (3, 1, 0, "after epoch 1")], ids=["within", "last_step"])
def test_sigterm_saves_a_checkpoint(batch, epoch, step, text, tmp_path, capsys):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("adam", loss="mse")
    checkpoints = Checkpoints(tmp_path)
    logs = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda index, logs: send(signal.SIGTERM) if index == batch else None)
    model.optimizer.average_is_better = True

    class Bits(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["val_bits_per_dim"] = 1.0

    def program():
        with stop_signals.deferred():
            model.fit(np.zeros((8, 2)), np.zeros(8), batch_size=2, epochs=3, verbose=0, callbacks=[
                logs, Bits(), SaveCheckpoint(checkpoints), SaveCheckpointWithinEpoch(checkpoints, None)])

    line = f"terminated; saved a checkpoint {text}; the same command resumes the run"
    assert outcome(program, capsys) == (143, [line])
    (record,) = checkpoints.records()
    assert (record["epoch"], record["step"]) == (epoch, step)


BUSY = """
import hashlib, sys, time
from trainers.runs import stop_signals
stop_signals._GRACE_SECONDS = 0.2
with stop_signals.handled():
    for step in range(600):
        try:
            if step == 0:
                print("ready", flush=True)
            elif sys.argv[1] == "c":  # minutes of C code without a return to Python
                hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)
            time.sleep(0.1)
        except BaseException:  # swallows the exception
            pass
"""


@pytest.mark.parametrize("kind", ["c", "python"])
@pytest.mark.parametrize(("number", "code", "line"), [
    (signal.SIGINT, 130, "interrupted\n"), (signal.SIGTERM, 143, "terminated\n")], ids=["int", "term"])
def test_a_process_that_cannot_raise_ends_nevertheless(kind, number, code, line):
    with subprocess.Popen([sys.executable, "-c", BUSY, kind], cwd=ROOT, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            process.send_signal(number)
            assert (process.communicate(timeout=30)[1], process.returncode) == (line, code)
        finally:
            process.kill()


def test_an_interrupt_of_the_first_imports_prints_one_line():
    """Python itself takes the first tenth of a second. It prints a traceback if it is interrupted meanwhile."""
    code = "import os, sys; sys.argv = ['-m']; import trainers; os.kill(os.getpid(), 2); import absl"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")
