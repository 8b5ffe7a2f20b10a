"""``broadcast`` for threads: whom it takes, and that it waits for nobody."""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from duologue import Limits
from duologue.connection.ending import Cause
from duologue.sync.client import connect
from duologue.sync.connection import broadcast
from duologue.sync.server import serve

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@contextmanager
def accepting(**options: Any) -> Iterator[tuple[Any, queue.SimpleQueue[Any]]]:
    accepted: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def handler(ws: Any) -> None:
        accepted.put(ws)
        ws.wait_closed()

    with serve(handler, "127.0.0.1", 0, **options) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.socket.getsockname(), accepted
    thread.join()


def test_whom_it_takes() -> None:
    with accepting() as (address, accepted):
        with connect(f"ws://127.0.0.1:{address[1]}/", proxy=None) as ws:
            remote = accepted.get(timeout=5)
            with pytest.raises(TypeError, match=r"connections of duologue\.sync"):
                broadcast([ws, object()], "x")  # type: ignore[list-item]
            with pytest.raises(TypeError, match="unexpected option 'workers'"):
                broadcast([ws], "x", workers=3)
            broadcast([], "nobody")
            broadcast(iter([ws]), "x", max_workers=3)
            assert remote.recv(timeout=5) == "x"


@pytest.mark.parametrize("message", [42, None, ["x"]])
def test_wrong_messages_to_nobody(message: Any) -> None:
    with pytest.raises(TypeError):
        broadcast([], message)


def test_it_waits_for_nobody() -> None:
    """A peer that takes nothing is closed with 1013 above ``max_outbox``; the others go on."""
    limits = Limits(max_outbox=1_000_000)
    with accepting(limits=limits, compression=None, close_timeout=0.2) as (address, accepted):
        with (
            socket.create_connection(address) as deaf,
            connect(f"ws://127.0.0.1:{address[1]}/", proxy=None) as ws,
        ):
            deaf.sendall(REQUEST)
            ends = [accepted.get(timeout=5), accepted.get(timeout=5)]
            begun = time.monotonic()
            for number in range(200):
                broadcast(ends, f"{number:06}" * 20_000)
                assert ws.recv(timeout=5)[:6] == f"{number:06}"
            assert time.monotonic() - begun < 20
            slow = next(each for each in ends if each.remote_address == deaf.getsockname())
            assert slow.wait_closed(5)
            assert slow.ending.cause is Cause.OUTBOX_FULL
