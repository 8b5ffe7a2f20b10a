"""One child process, as its parent sees it, and how it begins."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable

from duologue.app.workers.channel import Channel

__all__ = ["HANDLED", "Child"]

HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
"""Signals that mean something to the parent."""

Task = Callable[[Channel], None]


class Child:
    """A process that was forked.

    Args:
        name: for log lines.
        pid: its number.
        channel: to it.
        now: when it began, of the monotonic clock.

    Attributes:
        ready: whether it has said that it serves.
        since: when it began, or became ready.
        beat: when it last gave a sign of life.
        leaving: whether it was asked to end.
        leaving_since: when that was.
        killed: whether it was ended at once.
        code: how it has ended, a negative number for a signal's; ``None`` before.
    """

    def __init__(self, name: str, pid: int, channel: Channel, now: float) -> None:
        self.name = name
        self.pid = pid
        self.channel = channel
        self.ready = False
        self.since = now
        self.beat = now
        self.leaving = False
        self.leaving_since = now
        self.killed = False
        self.code: int | None = None

    def __str__(self) -> str:
        return f"{self.name} (process {self.pid})"

    @classmethod
    def fork(cls, name: str, task: Task, tidy: Callable[[], object], now: float) -> Child:
        """Begin a process.

        Args:
            name: for log lines.
            task: what it does, given its end of the channel.
            tidy: closes in it what belongs to the parent.
            now: the time.
        """
        ours, theirs = Channel.pair()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        # The parent's handlers must never run in the child.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
        try:
            pid = os.fork()
            if pid == 0:
                _run(name, task, theirs, [ours.close, tidy], before)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        return cls(name, pid, ours, now)

    def leave(self, code: int) -> None:
        """Ask it to end, and to close its connections with a code."""
        self.leaving = True
        self.leaving_since = time.monotonic()
        self.channel.say(leave=code)

    def kill(self) -> None:
        """End it at once."""
        if self.code is None:
            self.killed = True
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def has_ended(self) -> bool:
        """Look whether it has ended."""
        if self.code is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # somebody else has waited for it
                pid, status = self.pid, 0
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code is not None

    def explain(self) -> str:
        """Say how it has ended."""
        if self.code is not None and self.code < 0:
            return f"was killed by {signal.Signals(-self.code).name}"
        return f"has ended with exit code {self.code}"


def _run(
    name: str,
    task: Task,
    channel: Channel,
    tidy: list[Callable[[], object]],
    mask: Iterable[int],
) -> None:
    """Be the child; does not return."""
    code = 1
    try:
        # What top and ps show; at most 15 octets. Only Linux has it.
        with contextlib.suppress(OSError), open("/proc/self/comm", "w") as comm:
            comm.write(f"duo {name}"[:15])
        signal.set_wakeup_fd(-1)
        for number in HANDLED:
            signal.signal(number, signal.SIG_DFL)
        # The parent passes on what these mean; those who type Ctrl-C reach all processes.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for each in tidy:
            each()
        task(channel)
        code = 0
    except SystemExit as exc:
        code = exc.code if isinstance(exc.code, int) else int(exc.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            logging.shutdown()
            sys.stdout.flush()
            sys.stderr.flush()
        # Not sys.exit(): the stack below is the parent's.
        os._exit(code)
