"""A running program: its pipes, its end, and that nothing of it is left.

Each program leads a process group of its own, in a session without a terminal. To end it, all of
the group are told, step by step: its input ends, then SIGINT, SIGTERM and SIGKILL. When the program
has ended, what is left of its group is killed. ``--strict-compat`` tells the program alone, and
leaves its children be, as websocketd does.

Invariants: a program stays a zombie until its group has been killed, so that its number can't be
another's by then; every program is reaped, whatever happens to the task that waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence

from duologue.frontends.websocketd.errors import ErrorLog
from duologue.frontends.websocketd.leftover import Leftover
from duologue.frontends.websocketd.log import Log
from duologue.frontends.websocketd.spawning import spawn
from duologue.frontends.websocketd.warden import Warden
from duologue.net.pipes import PipeReader, PipeWriter, Watch

__all__ = ["STEPS", "CannotLaunch", "Program", "describe_status"]

STEPS = ((None, 0.1), (signal.SIGINT, 0.25), (signal.SIGTERM, 0.5))
"""What is done to end a program, and the seconds to wait each time; SIGKILL comes last."""

KILL_WAIT = 1.0
"""Seconds to wait after SIGKILL."""

DRAIN = 1.0
"""Seconds in which the last that a program wrote must be read."""


def describe_status(status: int) -> str:
    """Says how a program ended.

    Args:
        status: Its exit status; the number of a signal, negated, if one ended it.
    """
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"signal: {signal.Signals(-status).name}"
    except ValueError:
        return f"signal: {-status}"


class CannotLaunch(Exception):
    """A program that can't be started; the text names it and says why."""

    def __init__(self, command: Sequence[str], error: Exception) -> None:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        super().__init__(f"{command[0]} {' '.join(command[1:])} ({why})")


class Program:
    """A program that was just started.

    Args:
        command: Program and arguments.
        environment: All of its environment.
        log: Of its session.
        strict: Whether it stays in our own process group.
        directory: Working directory; ours by default.
        warden: Kills it if we are killed.

    Raises:
        CannotLaunch: If it can't be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Log,
        *,
        strict: bool = False,
        directory: str | None = None,
        warden: Warden | None = None,
    ) -> None:
        try:
            self.pid, (into, out, errors) = spawn(
                command, environment, session=not strict, directory=directory
            )
        except (OSError, ValueError) as error:
            raise CannotLaunch(command, error) from error
        self._strict = strict
        self._log = log
        self._warden = None if strict else warden
        self._status: int | None = None
        if self._warden is not None:
            self._warden.watch(self.pid)
        self.stdin = PipeWriter(into)
        self.stdout = PipeReader(out)
        self.stderr = PipeReader(errors)
        self._exited = False
        self._exit_waiter: asyncio.Future[None] | None = None
        self._exit_watch: Watch | None = None
        self._reaped = False
        self._watch_exit()

    def _watch_exit(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            fd = os.pidfd_open(self.pid)
        except (AttributeError, OSError):
            # macOS and BSDs: a thread waits, and leaves the zombie.
            threading.Thread(target=self._wait, args=(loop,), daemon=True).start()
            return
        self._exit_watch = Watch(fd, self._ended)

    def _ended(self) -> None:
        """It has ended, though it isn't reaped yet."""
        self._exited = True
        self._forget_exit()
        self._wake()
        if not self._reaped and not self._strict and self._was_killed():
            # It can't have meant its children to go on without it.
            self._signal(signal.SIGKILL)

    def _was_killed(self) -> bool:
        """Whether a signal has ended it."""
        if self._status is not None or not hasattr(os, "waitid"):
            return (self._poll() or 0) < 0
        flags = os.WEXITED | os.WNOWAIT | os.WNOHANG
        found = os.waitid(os.P_PID, self.pid, flags)
        return found is not None and found.si_code in (os.CLD_KILLED, os.CLD_DUMPED)

    def _forget_exit(self) -> None:
        watch, self._exit_watch = self._exit_watch, None
        if watch is not None:
            watch.close()

    def _wake(self) -> None:
        if self._exit_waiter is not None and not self._exit_waiter.done():
            self._exit_waiter.set_result(None)

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        if not hasattr(os, "waitid"):
            # macOS before CPython 3.13 can't leave the zombie.
            self._poll(0)
        with contextlib.suppress(ChildProcessError, AttributeError):
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(self._ended)

    def _signal(self, number: int) -> None:
        try:
            if self._strict:
                os.kill(self.pid, number)
            else:
                os.killpg(self.pid, number)
        except ProcessLookupError:
            pass
        except OSError as error:
            name = signal.Signals(number).name
            self._log("error", "process", f"{name} unsuccessful to {self.pid}: {error.strerror}")

    async def _exits_within(self, seconds: float) -> bool:
        if not self._exited:
            loop = asyncio.get_running_loop()
            self._exit_waiter = loop.create_future()
            timer = loop.call_later(seconds, self._wake)
            try:
                await self._exit_waiter
            finally:
                timer.cancel()
        return self._exited

    async def end(self, delay: float = 0.0, errors: ErrorLog | None = None) -> int:
        """Ends the program, reaps it, and kills what is left of its group.

        Args:
            delay: Seconds more to wait before each signal, see ``--closems``.
            errors: Who reads its standard error, and has :data:`DRAIN` seconds more.

        Returns:
            Its exit status; the number of a signal, negated, if one ended it.
        """
        # Who was given nothing can leave nothing.
        rest = Leftover(self.stdin.fileno() if self.stdin.written else -1)
        try:
            await self._persuade(delay)
            self._kill_rest()
            if errors is not None:
                await errors.drain(DRAIN)
        finally:
            status = self._reap()
            unread = rest.close()
            if unread:
                text = f"Process {self.pid} has left {unread} bytes of its input unread"
                self._log("info", "process", text)
        return status

    async def _persuade(self, delay: float) -> None:
        self.stdin.close()
        for number, seconds in STEPS:
            if number is not None:
                self._signal(number)
            if await self._exits_within(seconds + delay):
                how = f"after {number.name}" if number is not None else "after stdin was closed"
                self._log("debug", "process", f"Process {self.pid} terminated {how}")
                return
        self._signal(signal.SIGKILL)
        if not await self._exits_within(KILL_WAIT):
            self._log("error", "process", f"SIGKILL did not terminate {self.pid}!")

    def _kill_rest(self) -> None:
        if not self._strict or not self._exited:
            self._signal(signal.SIGKILL)

    def _reap(self) -> int:
        self._kill_rest()
        for pipe in (self.stdin, self.stdout, self.stderr):
            pipe.close()
        self._forget_exit()
        self._reaped = True
        if self._warden is not None:
            self._warden.forget(self.pid)
        end = time.monotonic() + KILL_WAIT
        while (status := self._poll()) is None:
            if time.monotonic() > end:
                # Stuck in the kernel: it is reaped one day.
                threading.Thread(target=self._poll, args=(0,), daemon=True).start()
                return -signal.SIGKILL
            time.sleep(0.001)
        return status

    def _poll(self, flags: int = os.WNOHANG) -> int | None:
        """Reap it if it has ended; return its exit status, ``None`` if it hasn't."""
        if self._status is None:
            try:
                found, status = os.waitpid(self.pid, flags)
            except ChildProcessError:
                # Reaped by somebody else: nobody knows how it ended.
                found, status = self.pid, 0
            if found:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status
