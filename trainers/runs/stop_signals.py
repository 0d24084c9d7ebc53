# SPDX-License-Identifier: Apache-2.0
"""Signals that stop a program: Ctrl-C (SIGINT) stops it at once, SIGTERM after a checkpoint if a model is trained.

The handlers raise an exception in the main thread. Python calls them between two of its instructions, so a long call of
C++ code delays them, and callbacks from C++ code swallow exceptions. A second thread therefore ends the process if it
still runs a few seconds later. This is safe at any time, because all files of a run are written atomically.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

INTERRUPTED, TERMINATED = 130, 143  # exit codes of a process that SIGINT or SIGTERM ended
_GRACE_SECONDS = 5.0


class Terminated(BaseException):
    """SIGTERM stops the program. The message is a line for the user."""


class _State:
    """The signals that have arrived, and the handlers that `handled` has installed."""

    is_deferred = is_pending = False
    stopped_by: BaseException | None = None
    handlers: dict[signal.Signals, Callable[[int, Any], None]] = {}


_state = _State()


@contextlib.contextmanager
def handled(ends_process: bool = True) -> Iterator[None]:
    """Makes SIGINT raise `KeyboardInterrupt` and SIGTERM raise `Terminated` during the body of a `with` statement.

    A signal that the process ignores, as under `nohup`, stays ignored. Outside the main thread, the function does
    nothing, because only the main thread may install handlers.

    Args:
      ends_process: bool. If True, the process ends if the body still runs five seconds after the signal. Default True.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    _state.is_pending, _state.stopped_by = False, None
    _state.handlers = {number: handler for number, handler in (
        (signal.SIGINT, _interrupt), (signal.SIGTERM, _terminate)) if before[number] != signal.SIG_IGN}
    watched = _deadline() if ends_process and os.name == "posix" else contextlib.nullcontext()
    try:
        with watched:
            reinstall()
            yield
    finally:
        for number in _state.handlers:
            if before[number] is not None:
                signal.signal(number, before[number])
        _state.handlers, _state.stopped_by = {}, None


def reinstall() -> None:
    """Installs the handlers again in the body of `handled`. Call it after code that replaces handlers of signals."""
    for number, handler in _state.handlers.items():
        signal.signal(number, handler)


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Defers SIGTERM during the body of a `with` statement: `is_pending` then returns True, and nothing is raised.

    The body should call `is_pending` regularly, and then save a checkpoint and raise `Terminated`. A second SIGTERM
    raises `Terminated` at once.

    Raises:
      Terminated: at the end of the body, if SIGTERM has arrived.
    """
    _state.is_deferred = True
    try:
        yield
    finally:
        _state.is_deferred = False
    if _state.is_pending:
        raise Terminated("terminated after the last step; the same command finishes the run")


def is_pending() -> bool:
    """Returns True if SIGTERM has arrived in the body of `deferred`."""
    return _state.is_pending


@contextlib.contextmanager
def not_swallowed() -> Iterator[None]:
    """Raises `KeyboardInterrupt` or `Terminated` again if code in the body of a `with` statement made it another error.

    For example, an interrupted import of a C extension may raise `ImportError`.

    Raises:
      KeyboardInterrupt: if the body raises an error after SIGINT.
      Terminated: if the body raises an error after SIGTERM, unless it was deferred.
    """
    try:
        yield
    except Exception as error:
        if _state.stopped_by is None:
            raise
        raise _state.stopped_by from error


def exit_at_once() -> None:
    """Makes SIGINT end the process with one line, until `handled` replaces the handler.

    Call it while a program imports its modules. Python would otherwise print a traceback.
    """
    def handler(number: int, frame: Any) -> None:
        _exit(number)

    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, handler)


def _interrupt(number: int, frame: Any) -> None:
    signal.signal(number, signal.SIG_IGN)  # A second Ctrl-C does not interrupt the cleanup.
    _state.stopped_by = KeyboardInterrupt()
    raise _state.stopped_by


def _terminate(number: int, frame: Any) -> None:
    if _state.is_deferred and not _state.is_pending:
        _state.is_pending = True
        return
    _state.stopped_by = Terminated("terminated")
    raise _state.stopped_by


@contextlib.contextmanager
def _deadline() -> Iterator[None]:
    """Ends the process if the body of a `with` statement still runs five seconds after a signal that is not deferred.

    Python's C code writes the number of each signal to a pipe, even while the main thread runs C++ code.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    has_ended = threading.Event()

    def watch() -> None:
        num_deferred = 0
        while number := os.read(reader, 1)[0]:
            if number == signal.SIGTERM and _state.is_deferred and not num_deferred:
                num_deferred += 1
            elif number in (signal.SIGINT, signal.SIGTERM) and not has_ended.wait(_GRACE_SECONDS):
                _exit(number)
        os.close(reader)
        os.close(writer)

    previous = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        has_ended.set()
        signal.set_wakeup_fd(previous)
        os.write(writer, b"\0")


def _exit(number: int) -> None:
    """Prints one line and ends the process at once, without cleanup."""
    is_interrupt = number == signal.SIGINT
    os.write(2, b"interrupted\n" if is_interrupt else b"terminated\n")
    os._exit(INTERRUPTED if is_interrupt else TERMINATED)
