"""``serve`` for threads: options by their effect, threads, interrupts, hooks that are late."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import duologue
from duologue.exceptions import ConnectionClosed, InvalidStatus, ProtocolError
from duologue.server import handler_thread
from duologue.server.threads import ServerConnection
from duologue.sync.client import connect
from duologue.sync.server import Server, serve, unix_serve


def stay(ws: Any) -> None:
    ws.wait_closed()


@contextmanager
def running(server: Server) -> Iterator[str]:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with server:
        name = server.socket.getsockname()
        host = f"[{name[0]}]" if server.socket.family == socket.AF_INET6 else name[0]
        yield f"ws://{host}:{name[1]}/"
    thread.join()


def test_functions_only() -> None:
    async def handler(ws: Any) -> None:
        pass

    for wrong in (handler, duologue.Endpoint()):
        with pytest.raises(TypeError, match=r"duologue\.serve\(\)"):
            serve(wrong, "127.0.0.1", 0)  # type: ignore[arg-type]


def test_ipv6() -> None:
    try:
        server = serve(stay, "::1", 0)
    except OSError:
        pytest.skip("no IPv6")
    with running(server) as url, connect(url, proxy=None) as ws:
        assert ws.remote_address[0] == "::1"


def test_reuse_port() -> None:
    with serve(stay, "127.0.0.1", 0, reuse_port=True) as first:
        port = first.socket.getsockname()[1]
        with serve(stay, "127.0.0.1", port, reuse_port=True):
            pass
        with pytest.raises(OSError):
            serve(stay, "127.0.0.1", port)


def test_backlog() -> None:
    """So many may knock before ``serve_forever``; those after them are not heard."""

    def heard(backlog: int) -> int:
        with serve(stay, "127.0.0.1", 0, backlog=backlog) as server:
            socks = []
            for _ in range(8):
                sock = socket.socket()
                sock.settimeout(0.2)
                try:
                    sock.connect(server.socket.getsockname())
                except TimeoutError:
                    sock.close()
                    break
                socks.append(sock)
            for sock in socks:
                sock.close()
            return len(socks)

    assert heard(1) < heard(50) == 8


def test_wrong_options(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="no_such_option"):
        unix_serve(stay, tmp_path / "socket", no_such_option=1)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        with pytest.raises(TypeError, match="reuse_port"):
            serve(stay, sock=sock, reuse_port=True)


def test_unix_backlog_and_leftover(tmp_path: Path) -> None:
    """A socket that a dead server left behind is replaced."""
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(path))
    with unix_serve(stay, path, backlog=5) as server:
        assert server.socket.getsockname() == str(path)


def test_shutdown_before_serving() -> None:
    server = serve(stay, "127.0.0.1", 0)
    server.shutdown()
    server.serve_forever()
    assert server.fileno() == -1


def test_shutdown_with_a_wrong_code() -> None:
    server = serve(stay, "127.0.0.1", 0)
    with running(server) as url, connect(url, proxy=None) as ws:
        with pytest.raises(ProtocolError):
            server.shutdown(code=1006)
        assert ws.ping().wait(5)


def test_interrupted_serve_forever_accepts_no_more() -> None:
    server = serve(stay, "127.0.0.1", 0)
    address = server.socket.getsockname()
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt), server:
        try:
            server.serve_forever()
        finally:
            with pytest.raises(OSError):
                socket.create_connection(address, timeout=1)
    timer.join()


def test_no_thread_to_be_had(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class NoThread(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    server = serve(stay, "127.0.0.1", 0)
    with running(server) as url:
        monkeypatch.setattr(handler_thread.threading, "Thread", NoThread)
        with connect(url, proxy=None) as ws:
            with pytest.raises(ConnectionClosed):
                ws.recv(timeout=5)
            assert (ws.close_code, ws.close_reason) == (1013, "too many threads")
        assert server.handler_threads == set()
        monkeypatch.undo()
    assert "no thread for a connection" in caplog.text


def test_a_hook_that_is_late() -> None:
    """``open_timeout`` ends the connection; the thread ends when the hook does."""
    release = threading.Event()

    def process_request(ws: Any, request: Any) -> None:
        release.wait(10)

    server = serve(stay, "127.0.0.1", 0, process_request=process_request, open_timeout=0.1)
    with running(server) as url:
        begun = time.monotonic()
        with pytest.raises(duologue.InvalidMessage):
            connect(url, proxy=None)
        assert time.monotonic() - begun < 5
        assert len(server.handler_threads) == 1
        release.set()
        while server.handler_threads:
            time.sleep(0.01)


@pytest.mark.parametrize("exc", [StopIteration("stop"), SystemExit(3)])
def test_what_hooks_may_raise(exc: BaseException) -> None:
    def process_request(ws: Any, request: Any) -> None:
        raise exc

    server = serve(stay, "127.0.0.1", 0, process_request=process_request)
    with running(server) as url:
        with pytest.raises((InvalidStatus, duologue.InvalidMessage)):
            connect(url, proxy=None, open_timeout=2)
        assert server.all_connections == set()


def test_a_handler_that_exits(caplog: pytest.LogCaptureFixture) -> None:
    def handler(ws: Any) -> None:
        raise SystemExit(3)

    server = serve(handler, "127.0.0.1", 0)
    with running(server) as url, connect(url, proxy=None) as ws:
        with pytest.raises(ConnectionClosed):
            ws.recv(timeout=5)
        assert ws.close_code == 1011
    assert "connection handler failed" in caplog.text


def test_keep_alive_between_requests() -> None:
    """Refused requests, each with a thread of its own, leave none behind."""

    def process_request(ws: ServerConnection, request: Any) -> Any:
        response = ws.respond(200, request.path)
        del response.headers["Connection"]
        return response

    server = serve(stay, "127.0.0.1", 0, process_request=process_request)
    with running(server), socket.create_connection(server.socket.getsockname()) as sock:
        sock.settimeout(5)
        for path in (b"/one", b"/two"):
            sock.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = b""
            while not answer.endswith(path):
                octets = sock.recv(1000)
                assert octets, answer
                answer += octets
            assert answer.startswith(b"HTTP/1.1 200 ")
        while server.handler_threads:
            time.sleep(0.01)


@pytest.mark.parametrize("engine", ["auto", "asyncio"])
def test_engine(engine: Any) -> None:
    seen = []

    def handler(ws: Any) -> None:
        seen.append(type(ws.transport).__name__)

    server = serve(handler, "127.0.0.1", 0, engine=engine)
    with running(server) as url, connect(url, proxy=None) as ws:
        with pytest.raises(ConnectionClosed):
            ws.recv(timeout=5)
    assert ("Link" in seen[0]) == (engine == "auto")


def test_tls_options() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with serve(stay, "127.0.0.1", 0, ssl=context, ssl_handshake_timeout=0.1) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with socket.create_connection(server.socket.getsockname()) as sock:
            sock.settimeout(5)
            begun = time.monotonic()
            assert sock.recv(10) == b""
            assert time.monotonic() - begun < 4
    thread.join()
