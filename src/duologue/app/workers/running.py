"""Running an application in several processes: what ``App.run(workers=)`` and the CLI share."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from duologue.app.workers.listeners import Listeners
from duologue.app.workers.processes import Processes
from duologue.app.workers.supervisor import Supervisor, supported
from duologue.base.types import LoggerLike

if TYPE_CHECKING:
    from duologue.app.application import App

__all__ = ["check_workers", "run_workers"]

LEAVING = 15.0
"""Seconds that a process may need to leave besides twice its ``drain_timeout``."""


def check_workers(workers: int) -> None:
    """Check the number of workers.

    Raises:
        TypeError: If it isn't an integer.
        ValueError: If it is less than 1.
        RuntimeError: If this system can't have several.
    """
    if isinstance(workers, bool) or not isinstance(workers, int):
        raise TypeError(f"workers must be an integer, not {workers!r}")
    if workers < 1:
        raise ValueError(f"workers must be at least 1, not {workers}")
    if workers > 1 and not supported():
        raise RuntimeError("several workers need fork() and Unix sockets, which this system lacks")


def run_workers(
    load: Callable[[], App],
    workers: int,
    host: str | Sequence[str] | None = None,
    port: int | None = None,
    *,
    uds: str | os.PathLike[str] | None = None,
    fd: int | None = None,
    sock: socket.socket | Sequence[socket.socket] | None = None,
    backlog: int = 2048,
    worker_timeout: float | None = 30.0,
    metrics: int | str | None = None,
    prepare: Callable[[], object] | None = None,
    listening: Callable[[list[socket.socket]], object] | None = None,
    announce: Callable[[list[socket.socket]], object] | None = None,
    logger: LoggerLike | None = None,
    **options: Any,
) -> int:
    """Serve in several processes until SIGINT or SIGTERM.

    Args:
        load: gives the application; called in each child.
        workers: how many.
        host: see :meth:`~duologue.App.serving`, as for all that isn't here.
        port: see there.
        uds: see there.
        fd: see there.
        sock: see there.
        backlog: see there; of each worker.
        worker_timeout: seconds without a sign of life, because a handler blocks its event loop for
            instance, after which a worker is killed and replaced; ``None`` for any time.
        metrics: see there; they tell of all workers, and are at most a second old.
        prepare: called in each child first.
        listening: called with the sockets once somebody can connect, who then waits for a worker.
        announce: called with the sockets once all workers serve.
        logger: by default ``duologue.app``.
        **options: see :meth:`~duologue.App.serving`.

    Returns:
        The exit code.

    Raises:
        OSError: If nothing can listen there.
        ValueError: If options exclude each other.
    """
    drain: float | None = options.get("drain_timeout", 30.0)
    place: dict[str, Any] = {"uds": uds, "fd": fd, "sock": sock, "backlog": backlog}
    with contextlib.ExitStack() as stack:
        # Who sees the port open may ask us to end already.
        noted = stack.enter_context(_noting_signals())
        listeners = Listeners.open(workers, host, port, **place)
        stack.callback(listeners.close)
        if listening is not None:
            listening(listeners.slots[0])
        processes = Processes(load, options, metrics, prepare)
        stack.callback(processes.close)
        return Supervisor(
            processes,
            listeners,
            worker_timeout=worker_timeout,
            leave_timeout=None if drain is None else 2 * drain + LEAVING,
            announce=None if announce is None else lambda: announce(listeners.slots[0]),
            signals=noted,
            logger=logger,
        ).run()


@contextlib.contextmanager
def _noting_signals() -> Iterator[list[int]]:
    """Give the signals that ask to end, from those that come before the supervisor hears them."""
    noted: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, lambda received, _: noted.append(received))
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
