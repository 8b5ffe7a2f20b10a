"""The parent process: starts workers, replaces those that die, and passes on signals.

SIGTERM and SIGINT end all of them gracefully, a second one at once. SIGHUP replaces the workers one
after the other: a new process serves from the same listening sockets before the old one is asked to
leave, so there is no moment in which nobody accepts.

Runs no event loop and holds no connection; children hold nothing of the parent but their sockets
and their channel. When the parent dies, by whatever, they see their channel end, and leave.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from duologue.app.workers.channel import Channel
from duologue.app.workers.child import HANDLED, Child
from duologue.app.workers.listeners import Listeners
from duologue.app.workers.slots import Slot
from duologue.base.types import LoggerLike
from duologue.base.vocabulary import CloseCode

__all__ = ["Supervisor", "Tasks"]

TURN = 0.5
"""Seconds until the parent looks at its clock again if nothing happens."""


class Tasks(Protocol):
    """What the children do."""

    def worker(self, channel: Channel, sockets: list[socket.socket], number: int) -> None:
        """Serve from sockets until told to leave, as the worker of this number, from 1."""

    def hub(self, channel: Channel) -> None:
        """Run the bus until told to leave."""


class Supervisor:
    """Watches over the processes of an application.

    Args:
        tasks: what they do.
        listeners: where they listen.
        hub: whether there is a hub process.
        worker_timeout: seconds without a sign of life after which a worker is killed and replaced,
            ``None`` for any time.
        leave_timeout: seconds that a process asked to leave has until it is killed, ``None`` for
            any time.
        announce: called once all workers serve.
        signals: those that have come already.
        logger: by default ``duologue.app``.
    """

    def __init__(
        self,
        tasks: Tasks,
        listeners: Listeners,
        *,
        hub: bool = True,
        worker_timeout: float | None = 30.0,
        leave_timeout: float | None = None,
        announce: Callable[[], object] | None = None,
        signals: list[int] | None = None,
        logger: LoggerLike | None = None,
    ) -> None:
        self._tasks = tasks
        self._listeners = listeners
        self._worker_timeout = worker_timeout
        self._leave_timeout = leave_timeout
        self._announce = announce
        self._logger = logger or logging.getLogger("duologue.app")
        self._hub = Slot("hub process", None) if hub else None
        self._workers = [Slot(f"worker {n + 1}", n) for n in range(len(listeners.slots))]
        self._children: list[Child] = []
        self._selector = selectors.DefaultSelector()
        self._signals: list[int] = [] if signals is None else signals
        self._renewing: list[Slot] = []
        self._stopping_since: float | None = None
        self._served = False
        self._code = 0

    def run(self) -> int:
        """Go on until a signal comes, or it is hopeless.

        Returns:
            The exit code: 0 if all have left when asked to.
        """
        with self._handling_signals():
            try:
                while self._go_on():
                    self._wait()
                    self._take_signals()
                    self._bury()
                    self._look_at_clock()
            finally:
                for child in self._children:
                    child.kill()
        return self._code

    @contextlib.contextmanager
    def _handling_signals(self) -> Iterator[None]:
        ours, theirs = socket.socketpair()
        for sock in (ours, theirs):
            sock.setblocking(False)
        self._wakeup = (ours, theirs)
        self._selector.register(ours, selectors.EVENT_READ)
        before = {number: signal.getsignal(number) for number in HANDLED}
        wakeup_before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        for number in HANDLED:
            signal.signal(number, lambda received, _: self._signals.append(received))
        try:
            yield
        finally:
            signal.set_wakeup_fd(wakeup_before)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._selector.close()
            ours.close()
            theirs.close()

    def _go_on(self) -> bool:
        """Start what is to be there; tell whether there is anything left to watch."""
        if self._stopping_since is not None:
            return bool(self._children)
        now = time.monotonic()
        hub = self._hub
        if hub is not None:
            if hub.child is None and now >= hub.start_at:
                hub.child = self._start(hub, now)
            if hub.child is not None and not hub.child.ready and not self._served:
                return True
        for slot in self._workers:
            if slot.child is None and slot.successor is None and now >= slot.start_at:
                slot.child = self._start(slot, now)
        self._renew(now)
        return True

    def _start(self, slot: Slot, now: float) -> Child:
        def work(channel: Channel) -> None:
            if slot.number is None:
                self._tasks.hub(channel)
            else:
                sockets = self._listeners.slots[slot.number]
                self._tasks.worker(channel, sockets, slot.number + 1)

        child = Child.fork(slot.name, work, lambda: self._tidy(slot.number), now)
        self._children.append(child)
        self._selector.register(child.channel, selectors.EVENT_READ, (slot, child))
        self._logger.info("%s started", child)
        return child

    def _tidy(self, number: int | None) -> None:
        """In a child: close what is the parent's."""
        self._selector.close()
        for sock in self._wakeup:
            sock.close()
        for child in self._children:
            child.channel.close()
        self._listeners.keep_only(number)

    # -- what happens

    def _wait(self) -> None:
        for key, _ in self._selector.select(self._pause()):
            if key.data is None:
                with contextlib.suppress(BlockingIOError):
                    self._wakeup[0].recv(4096)
            else:
                self._hear(*key.data)

    def _pause(self) -> float:
        now = time.monotonic()
        slots = [*self._workers, *([self._hub] if self._hub else [])]
        due = [slot.start_at - now for slot in slots if slot.child is None]
        return max(0.0, min([TURN, *due]))

    def _hear(self, slot: Slot, child: Child) -> None:
        lines = child.channel.hear()
        if lines is None:
            # It has ended, or is about to: what became of it is told by waitpid().
            self._selector.unregister(child.channel)
            return
        now = time.monotonic()
        for line in lines:
            child.beat = now
            if "ready" in line and not child.ready:
                child.ready = True
                child.since = now
                self._is_ready(slot, child)
            if "stats" in line and self._hub is not None and self._hub.child is not None:
                # The hub process tells them to whoever asks for metrics.
                self._hub.child.channel.say(worker=slot.number, stats=line["stats"])

    def _is_ready(self, slot: Slot, child: Child) -> None:
        if slot.successor is child:
            former, slot.child, slot.successor = slot.child, child, None
            if former is not None:
                self._logger.info("%s is asked to leave", former)
                former.leave(CloseCode.SERVICE_RESTART)
        if not self._served and all(each.child and each.child.ready for each in self._workers):
            self._served = True
            if self._announce is not None:
                self._announce()

    def _take_signals(self) -> None:
        while self._signals:
            number = self._signals.pop(0)
            if number == signal.SIGHUP:
                if self._stopping_since is None:
                    self._logger.info("the workers are replaced, one after the other")
                    self._renewing = list(self._workers)
            elif number in (signal.SIGTERM, signal.SIGINT):
                self._stop(at_once=self._stopping_since is not None)

    def _stop(self, *, at_once: bool = False) -> None:
        """Ask all workers to leave; the hub process follows them."""
        if at_once:
            self._code = 1
            for child in self._children:
                child.kill()
            return
        self._stopping_since = time.monotonic()
        self._listeners.close()
        for child in self._children:
            if self._hub is None or child is not self._hub.child:
                child.leave(CloseCode.GOING_AWAY)
        self._dismiss_hub()

    def _dismiss_hub(self) -> None:
        if self._hub is not None and self._children == [self._hub.child]:
            self._children[0].leave(CloseCode.GOING_AWAY)

    def _bury(self) -> None:
        """Note which processes have ended, and what follows from it."""
        now = time.monotonic()
        for child in [each for each in self._children if each.has_ended()]:
            self._children.remove(child)
            with contextlib.suppress(KeyError):
                self._selector.unregister(child.channel)
            child.channel.close()
            if self._stopping_since is not None:
                self._dismiss_hub()
                if child.code and child.code != -signal.SIGTERM:
                    self._logger.error("%s %s", child, child.explain())
                    self._code = 1
            elif child.leaving:
                self._logger.info("%s has left", child)
            else:
                self._lost(child, now)

    def _lost(self, child: Child, now: float) -> None:
        """Replace a process that has ended unasked."""
        slots = [*self._workers, *([self._hub] if self._hub else [])]
        slot = next(each for each in slots if child in (each.child, each.successor))
        if slot.successor is child:
            slot.successor = None
            self._renewing = []
            self._logger.error("%s %s: the workers there are go on", child, child.explain())
            return
        slot.child = None
        if not self._served and not child.ready:
            # What fails at the very beginning is a mistake that trying again does not mend.
            self._logger.error("%s %s", child, child.explain())
            self._stop()
            self._code = child.code if child.code and child.code > 0 else 1
            return
        slot.lost(child, now)
        if slot.hopeless:
            self._logger.critical("%s %s, as those before it: giving up", child, child.explain())
            self._stop()
            self._code = 1
            return
        pause = max(slot.start_at - now, 0)
        self._logger.error("%s %s; replaced in %.1f s", child, child.explain(), pause)

    def _renew(self, now: float) -> None:
        """Go on with replacing workers: the next one when the one before has left."""
        if any(child.leaving for child in self._children) or any(
            slot.successor for slot in self._workers
        ):
            return
        while self._renewing:
            slot = self._renewing.pop(0)
            if slot.child is not None:
                slot.successor = self._start(slot, now)
                return

    def _look_at_clock(self) -> None:
        """Kill who gave no sign of life, or does not leave."""
        now = time.monotonic()
        for child in [each for each in self._children if not each.killed]:
            hub = self._hub is not None and child is self._hub.child
            if child.leaving:
                since, timeout, what = (
                    child.leaving_since,
                    self._leave_timeout,
                    "has not left within",
                )
            elif child.ready and not hub:
                since, timeout, what = (
                    child.beat,
                    self._worker_timeout,
                    "gave no sign of life for worker_timeout of",
                )
            else:
                continue
            if timeout is not None and now - since > timeout:
                self._logger.error("%s %s %s s: it is killed", child, what, timeout)
                child.kill()


def supported() -> bool:
    """Whether this system has what several processes need."""
    return hasattr(os, "fork") and hasattr(socket, "AF_UNIX")
