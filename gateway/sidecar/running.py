"""A command that lives with a gateway: started when it is ready, its signals passed on, its exit code returned.

Strategy: the signals are blocked from the beginning and taken one at a time, while waiting for the gateway as well as
beside the running command. So none is lost in between, and it works as process 1 of a container, too, where a signal
without a handler would be ignored. Processes that the command leaves behind are reaped.

A. What a terminal sends (Ctrl-C) goes to the command by itself: only what another process sent is passed on, so that
   the command never sees one signal twice.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

from gateway.sidecar.errors import CommandNotStarted

PASSED_ON = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2})
ENDING = PASSED_ON - {signal.SIGUSR1, signal.SIGUSR2}
POLL_S = 0.1
# What Python ignores, and a program that is started by it should not.
_DEFAULT_AGAIN = (signal.SIGPIPE, signal.SIGXFSZ)


class Interrupted(Exception):
    """A signal asked us to end before the command was started."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


class Signals:
    """The signals of this process, blocked while inside; `mask` is what they were before."""

    def __enter__(self) -> Signals:
        self.mask = signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON | {signal.SIGCHLD})
        return self

    def __exit__(self, *_: object) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self.mask)


def wait_until(why_not: Callable[[], str], timeout_s: float) -> str:
    """Empty once `why_not` answers so, otherwise its last answer. Inside of `Signals`. Raises Interrupted."""
    give_up = time.monotonic() + timeout_s
    while why := why_not():
        left_s = give_up - time.monotonic()
        if left_s <= 0:
            return why
        taken = signal.sigtimedwait(ENDING, min(POLL_S, left_s))
        if taken is not None:
            raise Interrupted(taken.si_signo)
    return ""


def become(command: Sequence[str], signals: Signals) -> NoReturn:
    """Be the command from now on. Raises CommandNotStarted."""
    for number in _DEFAULT_AGAIN:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, signals.mask)
    try:
        os.execvp(command[0], list(command))
    except OSError as error:
        raise _not_started(command, error) from error


def run(command: Sequence[str], signals: Signals) -> int:
    """Run the command to its end; its exit code, 128 + N where signal N ended it. Raises CommandNotStarted."""
    try:
        pid = os.posix_spawnp(command[0], list(command), os.environ, setsigmask=signals.mask, setsigdef=_DEFAULT_AGAIN)
    except OSError as error:
        raise _not_started(command, error) from error
    while True:
        taken = signal.sigwaitinfo(PASSED_ON | {signal.SIGCHLD})
        if taken.si_signo == signal.SIGCHLD:
            if (code := _ended(pid)) is not None:
                return code
        elif taken.si_code <= 0:  # a process sent it, not the kernel for a terminal (A)
            os.kill(pid, taken.si_signo)


def _ended(pid: int) -> int | None:
    """Reap whoever has ended; the exit code of `pid` if it is among them. One SIGCHLD may stand for several."""
    found = None
    while True:
        try:
            ended, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if ended == 0:
            return found
        if ended == pid:
            code = os.waitstatus_to_exitcode(status)
            found = code if code >= 0 else 128 - code


def _not_started(command: Sequence[str], error: OSError) -> CommandNotStarted:
    code = 127 if isinstance(error, FileNotFoundError) else 126
    return CommandNotStarted(command[0], (error.strerror or "it failed").lower(), code)
