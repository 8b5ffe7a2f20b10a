"""Sending: types, fragments, several threads, backpressure, closed connections."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import Any

import pytest

from .ends import BINARY, CLOSE, CONT, PING, PONG, TEXT, Call, ends, wire
from .library import SyncLibrary


@pytest.mark.parametrize(
    ("message", "text", "opcode", "payload"),
    [
        ("é", None, TEXT, "é".encode()),
        ("é", False, BINARY, "é".encode()),
        (b"ab", None, BINARY, b"ab"),
        (b"ab", True, TEXT, b"ab"),
        (bytearray(b"ab"), None, BINARY, b"ab"),
        (memoryview(b"ab"), True, TEXT, b"ab"),
        ("", None, TEXT, b""),
    ],
)
def test_types(
    lib: SyncLibrary, role: str, message: Any, text: bool | None, opcode: int, payload: bytes
) -> None:
    with wire(lib, role, compression=None) as (connection, peer):
        connection.send(message, text=text)
        frame = peer.receive()
        assert (frame.opcode, frame.payload, frame.fin) == (opcode, payload, True)
        assert frame.masked == (role == "client")


@pytest.mark.parametrize(
    ("message", "text", "expected"),
    [
        (["a", "b"], None, [(TEXT, b"a"), (CONT, b"b"), (CONT, b"")]),
        ([b"a", bytearray(b"b")], None, [(BINARY, b"a"), (CONT, b"b"), (CONT, b"")]),
        ([b"a"], True, [(TEXT, b"a"), (CONT, b"")]),
        (iter(["a"]), False, [(BINARY, b"a"), (CONT, b"")]),
    ],
)
def test_iterables_are_fragmented(
    lib: SyncLibrary, role: str, message: Any, text: bool | None, expected: list[Any]
) -> None:
    if isinstance(message, Iterator):
        message = iter(["a"])  # a parameter is used once for each library
    with wire(lib, role, compression=None) as (connection, peer):
        connection.send(message, text=text)
        frames = [peer.receive() for _ in expected]
        assert [(frame.opcode, frame.payload) for frame in frames] == expected
        assert [frame.fin for frame in frames] == [False] * (len(expected) - 1) + [True]


def test_nothing_to_send(lib: SyncLibrary) -> None:
    with wire(lib, compression=None) as (connection, peer):
        connection.send([])
        connection.send("next")
        assert peer.receive().payload == b"next"


@pytest.mark.parametrize("message", [42, None, {"a": 1}, object()])
def test_wrong_types_change_nothing(lib: SyncLibrary, role: str, message: Any) -> None:
    with ends(lib, role) as (local, remote):
        with pytest.raises(TypeError):
            local.send(message)
        local.send("still open")
        assert remote.recv(timeout=5) == "still open"


@pytest.mark.parametrize("message", [["a", b"b"], [b"a", "b"], ["a", 1]])
def test_mixed_fragments_close_the_connection(
    lib: SyncLibrary, role: str, message: list[Any]
) -> None:
    with wire(lib, role) as (connection, peer):
        answer = Call(peer.answer_close)
        with pytest.raises(TypeError, match="iterable must contain uniform types"):
            connection.send(message)
        assert answer.result() == (1011, "error in fragmented message")
        connection.wait_closed()


def test_an_iterable_that_raises_closes_the_connection(lib: SyncLibrary, role: str) -> None:
    def parts() -> Iterator[str]:
        yield "one"
        raise LookupError("no more")

    with wire(lib, role) as (connection, peer):
        answer = Call(peer.answer_close)
        with pytest.raises(LookupError):
            connection.send(parts())
        assert answer.result()[0] == 1011


def test_messages_wait_for_no_other_threads_fragments(lib: SyncLibrary, role: str) -> None:
    """While one thread sends a fragmented message, others are refused and nothing is mixed."""
    steps: queue.SimpleQueue[str] = queue.SimpleQueue()

    def parts() -> Iterator[str]:
        yield "one "
        while part := steps.get(timeout=5):
            yield part

    with ends(lib, role) as (local, remote):
        sending = Call(local.send, parts())
        assert sending.waits(0.05)
        for message in ("other", b"other", ["other"]):
            with pytest.raises(lib.ConcurrencyError) as caught:
                local.send(message)
            assert "another thread is already running send" in str(caught.value)
        local.ping()
        steps.put("two")
        steps.put("")
        sending.result()
        assert remote.recv(timeout=5) == "one two"
        local.send("after")
        assert remote.recv(timeout=5) == "after"


def test_several_threads_send_whole_messages(lib: SyncLibrary, role: str) -> None:
    with ends(lib, role) as (local, remote):
        count = 150

        def send_all(name: str) -> None:
            for number in range(count):
                local.send(f"{name}:{number}:" + name * 500)

        calls = [Call(send_all, name) for name in "abcd"]
        received: dict[str, list[int]] = {name: [] for name in "abcd"}
        for _ in range(4 * count):
            name, number, filling = remote.recv(timeout=5).split(":")
            assert filling == name * 500
            received[name].append(int(number))
        for call in calls:
            call.result()
        assert all(numbers == list(range(count)) for numbers in received.values())


def test_send_waits_while_the_peer_takes_nothing(lib: SyncLibrary, role: str) -> None:
    with wire(lib, role, compression=None, receive_buffer=65536) as (connection, peer):
        chunk = b"x" * 1_000_000
        sending = Call(lambda: [connection.send(chunk) for _ in range(20)])
        assert sending.waits(0.3)
        for _ in range(20):
            assert peer.receive().payload == chunk
        sending.result()


def test_pings_are_answered_while_send_waits(lib: SyncLibrary, role: str) -> None:
    with wire(lib, role, compression=None, receive_buffer=65536) as (connection, peer):
        peer.send(PING, b"early")
        assert peer.receive().opcode == PONG
        chunk = b"x" * 1_000_000
        sending = Call(lambda: [connection.send(chunk) for _ in range(10)])
        assert sending.waits(0.2)
        peer.send(PING, b"late")
        seen = [peer.receive() for _ in range(11)]
        assert [frame.payload for frame in seen if frame.opcode == PONG] == [b"late"]
        sending.result()


def test_send_after_close(lib: SyncLibrary, role: str) -> None:
    with ends(lib, role) as (local, remote):
        remote.close()
        with pytest.raises(lib.ConnectionClosedOK):
            local.send("too late")
        with pytest.raises(lib.ConnectionClosedOK):
            local.send(["too", "late"])


def test_send_fails_when_the_peer_has_cut_the_connection(lib: SyncLibrary, role: str) -> None:
    with wire(lib, role) as (connection, peer):
        peer.abort()
        connection.wait_closed()
        with pytest.raises(lib.ConnectionClosedError):
            connection.send("too late")


def test_a_waiting_send_fails_when_the_connection_is_lost(lib: SyncLibrary, role: str) -> None:
    with wire(lib, role, compression=None, receive_buffer=65536) as (connection, peer):
        sending = Call(lambda: [connection.send(b"x" * 1_000_000) for _ in range(20)])
        assert sending.waits(0.2)
        peer.abort()
        with pytest.raises(lib.ConnectionClosedError):
            sending.result()


def test_text_that_has_no_utf8_form(lib: SyncLibrary, role: str) -> None:
    with ends(lib, role) as (local, remote):
        # The other library takes this for an error of its own, and closes the connection.
        with pytest.raises(UnicodeEncodeError if lib.ours else lib.ConnectionClosedError):
            local.send("\ud800")
        if lib.ours:
            local.send("still open")
            assert remote.recv(timeout=5) == "still open"


def test_frames_are_those_of_close(lib: SyncLibrary, role: str) -> None:
    with wire(lib, role) as (connection, peer):
        closing = Call(connection.close, 4000, "enough")
        frame = peer.receive()
        assert (frame.opcode, frame.payload) == (CLOSE, b"\x0f\xa0enough")
        peer.send(CLOSE, frame.payload)
        peer.sock.close()
        closing.result()
