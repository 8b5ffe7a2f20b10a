"""The connection's face for threads: what a suite that runs on two libraries can't test."""

from __future__ import annotations

import asyncio
import itertools
import os
import queue
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import duologue
from duologue.base.accounts import accounts
from duologue.connection.ending import Cause
from duologue.exceptions import (
    ConcurrencyError,
    ConnectionClosedError,
    ConnectionClosedOK,
    InvalidState,
)
from duologue.net import io_thread
from duologue.protocol.handshake import accept_key
from duologue.sync.client import ClientConnection, connect
from duologue.sync.connection import Connection
from duologue.sync.server import serve


@pytest.fixture(params=["shared", "plain"], autouse=True)
def io(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An I/O thread whose loop is shared with other threads, or one that isn't."""
    loop = asyncio.SelectorEventLoop() if request.param == "plain" else None
    thread = io_thread.IoThread(loop)
    thread.start()
    monkeypatch.setattr(io_thread, "_process_thread", thread)
    yield thread
    thread.stop()


@contextmanager
def pair(
    server_options: dict[str, Any] | None = None, **options: Any
) -> Iterator[tuple[ClientConnection, Any]]:
    """A client and the server's end, which nobody handles."""
    accepted: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def handler(ws: Any) -> None:
        accepted.put(ws)
        ws.wait_closed()

    with serve(handler, "127.0.0.1", 0, **(server_options or {})) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        port = server.socket.getsockname()[1]
        with connect(f"ws://127.0.0.1:{port}/", proxy=None, **options) as ws:
            yield ws, accepted.get(timeout=5)
    thread.join()


def in_thread(function: Callable[[], Any]) -> Callable[[], Any]:
    """Start a call in a thread; return what waits for its result."""
    outcome: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            outcome.put((function(), None))
        except BaseException as exc:
            outcome.put((None, exc))

    thread = threading.Thread(target=run)
    thread.start()

    def result() -> Any:
        value, exc = outcome.get(timeout=10)
        thread.join()
        if exc is not None:
            raise exc
        return value

    return result


def test_conversation() -> None:
    with pair() as (ws, remote):
        for message in ("text", b"\x00", "x" * 100_000):
            ws.send(message)
            assert remote.recv(timeout=5) == message
            remote.send(message)
            assert ws.recv(timeout=5) == message
        ws.send(["a", "b"])
        assert list(remote.recv_streaming()) == ["a", "b", ""]
        assert ws.ping().wait(5)
    assert (ws.close_code, remote.close_code) == (1000, 1000)
    assert ws.ending is not None
    assert ws.ending.cause is Cause.CLOSED_HERE


def test_interrupts_lose_nothing() -> None:
    """Ctrl-C again and again while messages come: each message is received once."""
    count, interrupts = 500, 0
    received: list[Any] = []
    armed: list[bool] = []

    def interrupt(number: int, frame: Any) -> None:
        if armed:
            armed.clear()
            raise KeyboardInterrupt

    def send() -> None:
        for number in range(count):
            remote.send(str(number))
            if number % 7 == 0:
                time.sleep(0.001)
                os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        with pair() as (ws, remote):
            sending = in_thread(send)
            while len(received) < count:
                try:
                    armed.append(True)
                    # No bytecode between recv() and the list, where an interrupt could strike.
                    received.extend(map(ws.recv, itertools.repeat(5, count - len(received))))
                except KeyboardInterrupt:
                    interrupts += 1
            try:
                armed.clear()
            except KeyboardInterrupt:
                interrupts += 1
            sending()
    finally:
        signal.signal(signal.SIGINT, before)
    assert interrupts > 0
    assert received == [str(number) for number in range(count)]


def test_an_interrupt_while_nothing_comes() -> None:
    with pair() as (ws, remote):
        for wait in (ws.recv, lambda: next(iter(ws)), ws.wait_closed):
            timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
            timer.start()
            with pytest.raises(KeyboardInterrupt):
                wait()
            timer.join()
        remote.send("after")
        assert ws.recv(timeout=5) == "after"


def test_an_interrupted_send_is_taken_back_or_sent_whole() -> None:
    """A message that waits for another's room is taken back; the stream stays in order."""
    chunk = b"x" * 200_000
    with pair(compression=None, write_limit=1000) as (ws, remote):
        sent = 0
        timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            for _ in range(1000):
                ws.send(chunk)
                sent += 1
        timer.join()
        got = 0
        while got < sent:
            assert remote.recv(timeout=5) == chunk
            got += 1
        done = in_thread(lambda: ws.send("end"))
        last = remote.recv(timeout=5)
        assert last in ("end", chunk)
        assert last == "end" or remote.recv(timeout=5) == "end"
        done()


def test_the_io_thread_may_not_wait(io: Any) -> None:
    with pair() as (ws, _):

        async def wait() -> None:
            for call in (ws.recv, lambda: ws.send("x"), ws.close, ws.wait_closed, ws.ping):
                with pytest.raises(RuntimeError, match="thread"):
                    call()

        io.run(wait())


def test_in_the_thread_of_a_running_loop() -> None:
    async def main() -> str:
        with pair() as (ws, remote):
            remote.send("hello")
            return str(ws.recv(timeout=5))

    assert asyncio.run(main()) == "hello"


def test_connections_are_made_by_connect_and_serve_only() -> None:
    with pair() as (ws, _), pytest.raises(RuntimeError, match="made by connect"):
        Connection(ws.settings)


def test_not_for_async_for() -> None:
    with pair() as (ws, remote):
        for end in (ws, remote):
            for name in ("__aiter__", "__anext__", "__aenter__", "__aexit__"):
                assert getattr(end, name) is None


def test_close_without_code() -> None:
    with pair() as (ws, remote):
        ws.close(None)
        assert remote.wait_closed(5)
        assert remote.close_code == 1005


def test_nothing_before_the_connection_is_open() -> None:
    failures = []

    def process_request(ws: Any, request: Any) -> None:
        for call in (ws.recv, lambda: ws.send("x"), ws.close, ws.ping):
            try:
                call(timeout=0.01) if call == ws.recv else call()
            except Exception as exc:
                failures.append(type(exc))

    with pair({"process_request": process_request}):
        assert failures == [TimeoutError, InvalidState, InvalidState, InvalidState]


@contextmanager
def deaf_peer(**options: Any) -> Iterator[ClientConnection]:
    """A client whose peer did the opening handshake and reads nothing more."""
    done = threading.Event()

    def converse() -> None:
        sock, _ = listening.accept()
        with sock:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += sock.recv(1)
            key = re.search(rb"Sec-WebSocket-Key: (.+)\r\n", head)
            assert key
            sock.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Accept: "
                + accept_key(key[1].decode()).encode()
                + b"\r\n\r\n"
            )
            done.wait(10)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        conversing = in_thread(converse)
        port = listening.getsockname()[1]
        ws = connect(f"ws://127.0.0.1:{port}/", proxy=None, compression=None, **options)
        try:
            yield ws
        finally:
            done.set()
            conversing()
            ws.close()


@pytest.mark.parametrize(("limit", "waits"), [(32_768, True), (64_000_000, False)])
def test_write_limit(limit: int, waits: bool) -> None:
    """``send()`` waits above the mark, and not below."""
    with deaf_peer(write_limit=limit) as ws:
        ended = threading.Event()

        def send() -> None:
            try:
                ws.send(b"x" * 8_000_000)
            except ConnectionClosedError:
                pass
            ended.set()

        sending = in_thread(send)
        assert ended.wait(0.5) is not waits
        if waits:
            ws.thread.call(ws.transport.abort)
        sending()


def test_memory_budget() -> None:
    """Shed by whichever thread goes over the budget, through the I/O thread."""
    shed = accounts().shed
    with deaf_peer(limits=duologue.Limits(memory_budget=1_000_000), write_limit=None) as ws:
        try:
            for _ in range(50):
                ws.send(b"x" * 500_000)
        except ConnectionClosedError:
            pass
        assert ws.wait_closed(5)
        assert ws.ending is not None
        assert ws.ending.cause is Cause.MEMORY_BUDGET
        assert accounts().shed > shed


@pytest.mark.parametrize(("compress", "smaller"), [(None, True), (True, True), (False, False)])
def test_compress(compress: bool | None, smaller: bool) -> None:
    with pair() as (ws, remote):
        text = "compressible " * 10_000
        ws.send(text, compress=compress)
        assert remote.recv(timeout=5) == text
        ws.send(["a" * 1000, "b" * 1000], compress=compress)
        assert remote.recv(timeout=5) == "a" * 1000 + "b" * 1000
        assert sent_compressed(compress) is smaller


def sent_compressed(compress: bool | None) -> bool:
    """Whether a client's frame has RSV1 set, as compressed ones have (RFC 7692 section 6)."""
    frames: queue.SimpleQueue[int] = queue.SimpleQueue()

    def converse() -> None:
        sock, _ = listening.accept()
        with sock:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += sock.recv(1)
            key = re.search(rb"Sec-WebSocket-Key: (.+)\r\n", head)
            assert key
            sock.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Extensions: permessage-deflate\r\n"
                b"Sec-WebSocket-Accept: " + accept_key(key[1].decode()).encode() + b"\r\n\r\n"
            )
            frames.put(sock.recv(1)[0])

    with socket.create_server(("127.0.0.1", 0)) as listening:
        conversing = in_thread(converse)
        ws = connect(f"ws://127.0.0.1:{listening.getsockname()[1]}/", proxy=None)
        ws.send("x" * 5000, compress=compress)
        conversing()
        ws.close()
    return bool(frames.get(timeout=5) & 0x40)


def test_concurrent_receiving_is_refused_at_once() -> None:
    with pair() as (ws, remote):
        waiting = in_thread(ws.recv)
        while True:
            try:
                ws.recv(timeout=0)
            except ConcurrencyError:
                break
            except TimeoutError:
                continue
        remote.send("x")
        assert waiting() == "x"


def test_the_peer_closes_while_many_wait() -> None:
    with pair() as (ws, remote):
        waiting = [in_thread(ws.recv)] + [in_thread(ws.wait_closed) for _ in range(3)]
        remote.close()
        with pytest.raises(ConnectionClosedOK):
            waiting[0]()
        assert [result() for result in waiting[1:]] == [True] * 3
