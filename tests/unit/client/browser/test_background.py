"""Sockets in scripts: a background thread dispatches, and nothing hangs at the end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import duologue
from duologue import WebSocket
from duologue.client.browser import session

Logged = Callable[[WebSocket], list[tuple[Any, ...]]]


class Peer:
    """An echo server in a thread, that notes close codes."""

    def __init__(self) -> None:
        self.codes: list[int | None] = []
        self.closed = threading.Semaphore(0)
        self.url = ""
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        assert self._ready.wait(30)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        async with duologue.serve(self._handle, "127.0.0.1", 0, max_size=None) as server:
            self.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            self._ready.set()
            await self._stop.wait()

    async def _handle(self, ws: Any) -> None:
        with contextlib.suppress(duologue.ConnectionClosed):
            await ws.send("greeting")
            async for message in ws:
                await ws.send(message)
        self.codes.append(ws.close_code)
        self.closed.release()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()


@pytest.fixture
def peer() -> Iterator[Peer]:
    peer = Peer()
    yield peer
    peer.stop()


def test_events_of_a_conversation(peer: Peer, logged: Logged) -> None:
    ws = WebSocket(peer.url)
    log = logged(ws)
    threads = set()
    ws.onopen = lambda event: ws.send("hello")

    def received(event: Any) -> None:
        threads.add(threading.current_thread())
        if event.data == "hello":
            ws.close(3000, "bye")

    ws.onmessage = received
    assert ws.wait_closed(30) is None
    assert log == [
        ("open", 1),
        ("message", 1, "greeting"),
        ("message", 1, "hello"),
        ("close", 3, 3000, "bye", True),
    ]
    assert len(threads) == 1
    assert threading.current_thread() not in threads


def test_listeners_that_come_late_miss_nothing(
    peer: Peer, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The thread that makes a socket may be slow.
    monkeypatch.setattr(session, "HANDLER_GRACE", 30)
    ws = WebSocket(peer.url)
    pause = threading.Event()
    while ws.readyState == 0:
        pause.wait(0.001)
    opened, received = threading.Event(), threading.Event()
    ws.onopen = lambda event: opened.set()
    assert opened.wait(30)
    ws.onmessage = lambda event: received.set()
    assert received.wait(30)
    ws.close()
    ws.wait_closed(30)


def test_listeners_that_are_added_in_a_row_all_hear(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "HANDLER_GRACE", 1000)
    monkeypatch.setattr(session, "SETTLING", 1000)
    ws = WebSocket(peer.url)
    pause = threading.Event()
    while ws._session._held is None:
        pause.wait(0.001)
    heard = threading.Semaphore(0)
    ws.onopen = lambda event: heard.release()
    assert not heard.acquire(timeout=0.05)
    ws.addEventListener("open", lambda event: heard.release())
    ws.send("x")
    assert heard.acquire(timeout=30) and heard.acquire(timeout=30)
    ws.close()
    ws.wait_closed(30)


def test_nobody_waits_for_listeners_for_long(peer: Peer) -> None:
    ws = WebSocket(peer.url)
    received = threading.Event()
    ws.onmessage = lambda event: received.set()
    # No listener for the first event.
    assert received.wait(30)
    ws.close()
    ws.wait_closed(30)


def test_sending_shows_that_nobody_waits_for_listeners(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "HANDLER_GRACE", 1000)
    ws = WebSocket(peer.url)
    received = threading.Semaphore(0)
    ws.onmessage = lambda event: received.release()
    pause = threading.Event()
    while ws.readyState == 0:
        pause.wait(0.001)
    ws.send("x")
    assert received.acquire(timeout=30)
    assert received.acquire(timeout=30)
    ws.close()
    ws.wait_closed(30)


def test_with_closes_and_waits(peer: Peer) -> None:
    opened = threading.Event()
    with WebSocket(peer.url) as ws:
        ws.onopen = lambda event: opened.set()
        assert opened.wait(30)
        assert ws.readyState == 1
    assert ws.readyState == 3
    assert peer.closed.acquire(timeout=30)
    assert peer.codes == [1005]


def test_failure(logged: Logged) -> None:
    ws = WebSocket("ws://127.0.0.1:1/")
    log = logged(ws)
    ws.wait_closed(30)
    assert log == [("error", 3), ("close", 3, 1006, "", False)]


def test_waiting_is_bounded_if_asked_for(peer: Peer) -> None:
    with WebSocket(peer.url) as ws, pytest.raises(TimeoutError):
        ws.wait_closed(0.01)


def test_buffered_amount_falls_to_nothing(peer: Peer) -> None:
    with WebSocket(peer.url, max_size=None) as ws:
        amounts: list[int] = []
        sent = threading.Event()

        def send(event: Any) -> None:
            ws.send(bytes(10_000_000))
            amounts.append(ws.bufferedAmount)
            sent.set()

        ws.onopen = send
        assert sent.wait(30)
        assert amounts == [10_000_000]
        pause = threading.Event()
        while ws.bufferedAmount:
            pause.wait(0.001)


def test_coroutine_functions_run_in_the_background_loop(peer: Peer) -> None:
    done = threading.Event()

    async def wait_there(event: Any) -> None:
        await ws.wait_closed()
        done.set()

    ws = WebSocket(peer.url)
    ws.onopen = wait_there
    ws.onmessage = lambda event: ws.close()
    assert done.wait(30)


def test_sockets_made_by_listeners_live_in_the_background_loop(peer: Peer) -> None:
    received = threading.Event()
    others: list[WebSocket] = []

    def again(event: Any) -> None:
        other = WebSocket(peer.url)
        others.append(other)
        other.onmessage = lambda event: received.set()

    with WebSocket(peer.url) as ws:
        ws.onopen = again
        assert received.wait(30)
    others[0].close()
    others[0].wait_closed(30)


def run_script(script: str, peer: Peer) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(script), peer.url]
    return subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)


def test_a_script_s_end_leaves_its_sockets(peer: Peer) -> None:
    done = run_script(
        """
        import socket, sys, threading
        from duologue import WebSocket

        opened = threading.Semaphore(0)
        sockets = [WebSocket(sys.argv[1]) for _ in range(2)]
        for ws in sockets:
            ws.onopen = lambda event: opened.release()
        for ws in sockets:
            opened.acquire()
        silent = socket.create_server(("127.0.0.1", 0))
        waiting = WebSocket(f"ws://127.0.0.1:{silent.getsockname()[1]}/")
        # Uncaught, and told.
        ws.onmessage = lambda event: 1 / 0
        ws.send("x")
        threading.Event().wait(0.1)
        print("end")
        """,
        peer,
    )
    assert (done.returncode, done.stdout) == (0, "end\n"), done.stderr
    assert "ZeroDivisionError" in done.stderr
    for _ in range(2):
        assert peer.closed.acquire(timeout=30)
    assert peer.codes == [1001, 1001]


def test_a_script_ends_though_a_listener_does_not(peer: Peer) -> None:
    done = run_script(
        """
        import sys, threading
        from duologue import WebSocket

        inside = threading.Event()
        ws = WebSocket(sys.argv[1])
        ws.onopen = lambda event: (inside.set(), threading.Event().wait())
        inside.wait()
        print("end")
        """,
        peer,
    )
    assert (done.returncode, done.stdout) == (0, "end\n"), done.stderr
    assert peer.closed.acquire(timeout=30)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes can't be forked here")
def test_a_forked_child_makes_its_own_sockets(peer: Peer) -> None:
    done = run_script(
        """
        import os, sys, threading
        from duologue import WebSocket

        opened = threading.Event()
        ws = WebSocket(sys.argv[1])
        ws.onopen = lambda event: opened.set()
        opened.wait()
        child = os.fork()
        if child == 0:
            try:
                ws.send("x")
            except RuntimeError as exc:
                print(exc)
            other = WebSocket(sys.argv[1])
            other.onmessage = lambda event: other.close(3000)
            other.onclose = lambda event: print(event.code)
            other.wait_closed()
            sys.stdout.flush()
            os._exit(0)
        print(os.waitpid(child, 0)[1])
        ws.close(3001)
        ws.wait_closed()
        """,
        peer,
    )
    assert done.returncode == 0, done.stderr
    refusal, code, status = done.stdout.splitlines()
    assert "belongs to the process that forked" in refusal
    assert (code, status) == ("3000", "0")
    for _ in range(2):
        assert peer.closed.acquire(timeout=30)
    assert peer.codes == [3000, 3001]
