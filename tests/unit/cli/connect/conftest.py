"""Servers of another library to talk to, and a terminal to talk at."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.server import ServerConnection, serve

COMMAND = [sys.executable, "-m", "duologue"]

Handler = Callable[[ServerConnection], object]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Keeps the history in the test's folder, and whoever runs the tests out of them.

    Gives the folder.
    """
    state = tmp_path / "state"
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
    monkeypatch.setenv("TERM", "xterm")
    for name in ("NO_COLOR", "SSL_CERT_FILE", *(f"{s}_proxy" for s in ("http", "https", "all"))):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return state


def echo(websocket: ServerConnection) -> None:
    for message in websocket:
        websocket.send(message)


@contextlib.contextmanager
def serving(handler: Handler = echo, **options: Any) -> Iterator[str]:
    """Runs a server of another library in a thread; gives its URL."""
    scheme = "ws" if options.get("ssl") is None else "wss"
    with serve(handler, "127.0.0.1", 0, **options) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"{scheme}://127.0.0.1:{server.socket.getsockname()[1]}/"
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def answering(*answers: bytes, hold: bool = False) -> Iterator[int]:
    """Answers the first octets of each connection with the next answer; gives the port."""
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def work() -> None:
            for octets in answers:
                sock, _ = listener.accept()
                with sock:
                    sock.recv(65536)
                    sock.sendall(octets)
                    if hold:
                        done.wait(30)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            done.set()
            thread.join()


@pytest.fixture(name="serving")
def _serving() -> Callable[..., contextlib.AbstractContextManager[str]]:
    return serving


@pytest.fixture(name="answering")
def _answering() -> Callable[..., contextlib.AbstractContextManager[int]]:
    return answering


class Person:
    """Somebody at a terminal on which ``duologue`` runs."""

    def __init__(self, *arguments: str, columns: int = 80, **options: Any) -> None:
        import pexpect
        import pyte

        self._screen = pyte.Screen(columns, 40)
        self._stream = pyte.ByteStream(self._screen)
        self.octets = b""
        self.child = pexpect.spawn(
            COMMAND[0], [*COMMAND[1:], *arguments], dimensions=(40, columns), timeout=15, **options
        )
        self.child.logfile_read = self
        self.child.delaybeforesend = None

    # -- what pexpect writes to

    def write(self, octets: bytes) -> None:
        self.octets += octets
        self._stream.feed(octets)

    def flush(self) -> None:
        pass

    # -- what the test does

    def type(self, text: str | bytes) -> None:
        self.child.send(text)

    def lines(self) -> list[str]:
        """What the screen shows now, without the empty lines at its end."""
        lines = [line.rstrip() for line in self._screen.display]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    @property
    def line(self) -> str:
        """The line with the cursor, up to it."""
        cursor = self._screen.cursor
        return self._screen.display[cursor.y][: cursor.x]

    def see(self, condition: Callable[[list[str]], bool] | str) -> list[str]:
        """Waits until the screen shows a line, or fulfils a condition; gives what it shows."""
        import pexpect

        def fulfilled() -> bool:
            lines = self.lines()
            if isinstance(condition, str):
                return condition in lines
            return len(lines) > 1 and condition(lines)

        deadline = time.monotonic() + 15
        while not fulfilled():
            with contextlib.suppress(pexpect.TIMEOUT):
                try:
                    self.child.read_nonblocking(4096, 0.2)
                except pexpect.EOF:
                    if fulfilled():
                        break
                    pytest.fail("ended without it:\n" + "\n".join(self.lines()))
            if time.monotonic() > deadline:
                pytest.fail(f"never seen: {condition}\n" + "\n".join(self.lines()))
        return self.lines()

    def leave(self) -> int:
        """Waits until the command has ended; gives its exit code."""
        import pexpect

        self.child.expect(pexpect.EOF)
        self.child.wait()
        return int(self.child.exitstatus)


@pytest.fixture
def person(environment: Path) -> Iterator[Callable[..., Person]]:
    """Sits somebody down at a terminal with ``duologue`` and the arguments given."""
    if os.name != "posix":
        pytest.skip("pseudo-terminals are POSIX's")
    people: list[Person] = []

    def person(*arguments: str, **options: Any) -> Person:
        people.append(Person(*arguments, **options))
        return people[-1]

    yield person
    for one in people:
        one.child.close(force=True)


@contextlib.contextmanager
def tunnelling(status: str = "200 Go on") -> Iterator[tuple[str, list[str]]]:
    """Runs a proxy that tunnels to one server; gives its URL and the heads of its requests."""
    heads: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def work() -> None:
            sock, _ = listener.accept()
            with sock:
                head = b""
                while b"\r\n\r\n" not in head:
                    octets = sock.recv(4096)
                    if not octets:
                        return
                    head += octets
                heads.append(head.decode())
                sock.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
                if status.startswith("200"):
                    host, _, port = head.split()[1].decode().rpartition(":")
                    with socket.create_connection((host, int(port))) as there:
                        back = threading.Thread(target=pump, args=(there, sock))
                        back.start()
                        pump(sock, there)
                        back.join()

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", heads
        finally:
            with contextlib.suppress(OSError):
                # For a test that wants to see that nobody asks.
                socket.create_connection(listener.getsockname()).close()
            thread.join()


def pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while octets := source.recv(65536):
            target.sendall(octets)
        target.shutdown(socket.SHUT_WR)


@pytest.fixture(name="tunnelling")
def _tunnelling() -> Callable[..., contextlib.AbstractContextManager[tuple[str, list[str]]]]:
    return tunnelling
