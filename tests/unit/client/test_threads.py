"""``connect`` for threads: options by their effect, and interrupts."""

from __future__ import annotations

import os
import queue
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar
from typing import Any

import pytest

import duologue
from duologue.base.accounts import accounts
from duologue.exceptions import InvalidProxyStatus, SecurityError
from duologue.sync.client import connect, reconnect, unix_connect
from duologue.sync.server import serve


@contextmanager
def serving(handler: Any, **options: Any) -> Iterator[str]:
    with serve(handler, "127.0.0.1", 0, **options) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/"
    thread.join()


def stay(ws: Any) -> None:
    ws.wait_closed()


@contextmanager
def answering(*answers: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A server that gives each connection the next answer; yields its port and the heads."""
    heads: list[bytes] = []

    def run() -> None:
        for answer in answers:
            sock, _ = listening.accept()
            with sock:
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    octets = sock.recv(1)
                    if not octets:
                        return
                    head += octets
                heads.append(head)
                sock.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=run)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}", heads
        thread.join(5)


def test_proxy() -> None:
    with answering(b"HTTP/1.1 407 Who are you?\r\n\r\n") as (proxy, heads):
        with pytest.raises(InvalidProxyStatus):
            connect("ws://server.example/", proxy=f"http://me:secret@{proxy}")
    assert heads[0].startswith(b"CONNECT server.example:80 HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic bWU6c2VjcmV0\r\n" in heads[0]


def test_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(b"HTTP/1.1 502 no\r\n\r\n") as (proxy, heads):
        monkeypatch.setenv("http_proxy", f"http://{proxy}")
        monkeypatch.setenv("https_proxy", f"http://{proxy}")
        monkeypatch.delenv("no_proxy", raising=False)
        with pytest.raises(InvalidProxyStatus):
            connect("ws://server.example/")
    assert heads[0].startswith(b"CONNECT")


@pytest.mark.parametrize("name", ["proxy_ssl", "proxy_server_hostname"])
def test_proxy_options(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        connect("ws://server.example/", proxy="http://127.0.0.1:1", **{name: "given"})


def test_cookies() -> None:
    jar = CookieJar()

    def process_response(ws: Any, request: Any, response: Any) -> None:
        response.headers["Set-Cookie"] = "name=value"

    seen: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def handler(ws: Any) -> None:
        seen.put(ws.request.headers.get("Cookie"))

    with serving(handler, process_response=process_response) as url:
        for expected in (None, "name=value"):
            with connect(url, proxy=None, cookies=jar):
                assert seen.get(timeout=5) == expected


def test_timeout_is_the_lesser() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"ws://127.0.0.1:{listening.getsockname()[1]}/"
        for options in ({"timeout": 0.1}, {"timeout": 60, "open_timeout": 0.1}):
            begun = time.monotonic()
            with pytest.raises(TimeoutError, match=r"open_timeout of 0\.1 s"):
                connect(url, proxy=None, **options)
            assert time.monotonic() - begun < 5


def test_engine_and_limits() -> None:
    with serving(stay) as url:
        for engine in ("asyncio", "auto"):
            with connect(url, proxy=None, engine=engine) as ws:
                assert ("Link" in type(ws.transport).__name__) == (engine == "auto")
        with pytest.raises(ValueError, match="engine must be one of"):
            connect(url, proxy=None, engine="nonsense")
    with answering(b"HTTP/1.1 302 x\r\nLocation: /again\r\n\r\n") as (address, _):
        with pytest.raises(SecurityError, match="max_redirects of 0"):
            connect(f"ws://{address}/", proxy=None, limits=duologue.Limits(max_redirects=0))


def test_all_errors() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(ExceptionGroup):
        connect(f"ws://127.0.0.1:{port}/", proxy=None, all_errors=True)


def test_interrupt_while_connecting() -> None:
    """The attempt ends with it: nothing is left open."""
    links = accounts().links
    with socket.create_server(("127.0.0.1", 0)) as listening:
        timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            connect(f"ws://127.0.0.1:{listening.getsockname()[1]}/", proxy=None)
        timer.join()
        sock, _ = listening.accept()
        with sock:
            sock.settimeout(5)
            while sock.recv(1000):
                pass
    deadline = time.monotonic() + 5
    while accounts().links > links and time.monotonic() < deadline:
        time.sleep(0.01)
    assert accounts().links <= links


def test_attempts_are_kept() -> None:
    with answering(b"HTTP/1.1 503 x\r\n\r\n", b"HTTP/1.1 403 x\r\n\r\n") as (address, _):
        connecter = reconnect(f"ws://{address}/", proxy=None, reconnect_delays=lambda: iter([0.01]))
        with pytest.raises(duologue.InvalidStatus):
            for _ in connecter:
                pytest.fail("connected")
    assert [attempt.number for attempt in connecter.attempts] == [1, 2]
    assert "503" in connecter.attempts[0].reason


def test_connecter_is_not_for_await() -> None:
    connecter = connect("ws://localhost/", legacy=False)
    for name in ("__await__", "__aiter__", "__aenter__", "__aexit__"):
        assert getattr(connecter, name) is None
    with pytest.raises(ValueError, match="missing path argument"):
        unix_connect(legacy=False)
