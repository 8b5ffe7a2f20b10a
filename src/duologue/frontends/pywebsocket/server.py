"""Listening, and a thread for each connection, of which there are only so many.

While ``max_threads`` connections are served others wait in the backlog; that is logged. Threads are
daemons: a handler that blocks for ever doesn't keep the process from ending.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import selectors
import socket
import sys
import threading
import time
from typing import Any

from duologue.frontends.pywebsocket.channel import Channel
from duologue.frontends.pywebsocket.config import Config
from duologue.frontends.pywebsocket.dispatch import Dispatcher, read_map
from duologue.frontends.pywebsocket.visit import Visit

__all__ = ["CannotListen", "Server", "find_handlers"]

STOP_SECONDS = 2.0
"""Seconds for peers to answer the Close frames with which the server stops."""

FULL_SECONDS = 0.1
"""Seconds between two looks whether there is a thread, or a descriptor, again."""

_logger = logging.getLogger(__name__)


class CannotListen(Exception):
    """No address could be listened on."""


def find_handlers(config: Config) -> Dispatcher:
    """Runs the handlers' files and reads the aliases; warns of what is wrong with them.

    Args:
        config: Where they are.

    Raises:
        DispatchException: If the directory can't be used.
        OSError: If the file of aliases can't be read.
    """
    dispatcher = Dispatcher(
        config.handlers, config.scan_dir, config.outside_root, config.handler_encoding
    )
    if config.handlers_map:
        read_map(config.handlers_map, dispatcher)
    for warning in dispatcher.source_warnings():
        _logger.warning("Warning in source loading: %s", warning)
    return dispatcher


def _listen(family: int, host: str, port: int, backlog: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock


def _yield_to_others() -> None:
    """Has this thread wait for its turn when a message wakes it, where there is such a choice.

    Most likely the one that runs holds the interpreter's lock: to take its place would only mean to
    wait again, two switches later. Threads that a handler starts inherit it.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            if os.sched_getscheduler(0) == os.SCHED_OTHER:
                os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


class Server:
    """Serves handlers.

    Args:
        config: How.
        dispatcher: The handlers.

    Attributes:
        port: TCP port, once it listens.
    """

    def __init__(self, config: Config, dispatcher: Dispatcher) -> None:
        self.port = config.port
        self._config = config
        self._dispatcher = dispatcher
        self._sockets: list[socket.socket] = []
        self._slots = threading.BoundedSemaphore(config.max_threads)
        self._visits: dict[Visit, threading.Thread] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._wake, self._woken = socket.socketpair()

    def listen(self) -> None:
        """Listens on every address that can be listened on.

        Raises:
            CannotListen: If there is none.
        """
        failures: dict[str, int] = {}
        for host in self._config.hosts:
            for family, address in self._addresses(host):
                try:
                    sock = _listen(family, address, self.port, self._config.backlog)
                except OSError as error:
                    # That there is no IPv6 is nothing; that somebody else answers there is.
                    taken = error.errno == errno.EADDRINUSE
                    failure = f"{address or '*'}: {error.strerror or error}"
                    failures[failure] = logging.WARNING if taken else logging.INFO
                    continue
                self._sockets.append(sock)
                # All share the port that the system has chosen for the first.
                self.port = sock.getsockname()[1]
        _logger.info("Listening on port %d", self.port)
        if not self._sockets:
            raise CannotListen(
                f"No sockets activated: cannot listen on port {self.port} of {'; '.join(failures)}"
            )
        for failure, level in failures.items():
            _logger.log(level, "Not listening on port %d of %s", self.port, failure)

    def _addresses(self, host: str) -> list[tuple[int, str]]:
        if not host:
            return [(socket.AF_INET6, ""), (socket.AF_INET, "")]
        try:
            found = socket.getaddrinfo(host, self.port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise CannotListen(f"{host}: {error.strerror or error}") from error
        return list(dict.fromkeys((int(family), str(name[0])) for family, *_, name in found))

    def serve_forever(self) -> None:
        """Accepts connections until :meth:`shutdown` is called, then ends those there are."""
        try:
            with selectors.DefaultSelector() as selector:
                for sock in (*self._sockets, self._woken):
                    sock.setblocking(False)
                    selector.register(sock, selectors.EVENT_READ)
                while not self._stopping.is_set():
                    for key, _ in selector.select():
                        if key.fileobj is not self._woken:
                            self._accept(key.fileobj)
        finally:
            self.close()
            self._end_visits()

    def _accept(self, listener: Any) -> None:
        if not self._slots.acquire(blocking=False):
            _logger.warning(
                "%d connections are served (max_threads); others wait", self._config.max_threads
            )
            while not self._slots.acquire(timeout=FULL_SECONDS):
                if self._stopping.is_set():
                    return
        try:
            sock, address = listener.accept()
        except OSError as error:
            self._slots.release()
            if not isinstance(error, BlockingIOError | ConnectionError):
                _logger.error("Cannot accept: %s", error)
                time.sleep(FULL_SECONDS)
            return
        try:
            self._start(sock, address)
        except (OSError, RuntimeError) as error:
            # The peer has gone already, or the system has no thread for it.
            self._slots.release()
            _logger.error("Cannot serve %r: %s", address, error)
            sock.close()

    def _start(self, sock: socket.socket, address: Any) -> None:
        config = self._config
        sock.setblocking(True)
        channel = Channel(sock, write_timeout=config.write_timeout, max_head=config.max_head)
        local = (config.hosts[0], self.port)
        visit = Visit(channel, address, local, config, self._dispatcher)
        thread = threading.Thread(
            target=self._serve, args=(visit,), name=f"pywebsocket {address[0]}", daemon=True
        )
        with self._lock:
            self._visits[visit] = thread
        try:
            thread.start()
        except RuntimeError:
            self._forget(visit)
            raise

    def _serve(self, visit: Visit) -> None:
        try:
            _yield_to_others()
            visit.serve()
        finally:
            self._forget(visit)
            self._slots.release()

    def _forget(self, visit: Visit) -> None:
        with self._lock:
            del self._visits[visit]

    def shutdown(self) -> None:
        """Has :meth:`serve_forever` return soon; may be called from any thread, and by signals."""
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._wake.send(b"\0")

    def close(self) -> None:
        """Stops listening."""
        for sock in (*self._sockets, self._wake, self._woken):
            sock.close()

    def _end_visits(self) -> None:
        """Ends all connections: with code 1001 those that answer in time."""
        with self._lock:
            left = dict(self._visits)
        for visit in left:
            visit.go_away()
        ends = time.monotonic() + STOP_SECONDS
        for thread in left.values():
            thread.join(max(0.0, ends - time.monotonic()))
        for visit, thread in left.items():
            if thread.is_alive():
                visit.channel.interrupt()
        for thread in left.values():
            thread.join(max(0.0, ends + 1.0 - time.monotonic()))
