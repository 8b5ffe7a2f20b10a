"""Ping, pong, latency and keepalive."""

from __future__ import annotations

import threading

import pytest

from .ends import PING, PONG, Call, ends, until, wire
from .library import SyncLibrary


def test_ping_gives_an_event(lib: SyncLibrary, role: str) -> None:
    with ends(lib, role) as (local, _remote):
        event = local.ping()
        assert isinstance(event, threading.Event)
        assert event.wait(5)
        assert 0 < local.latency < 5


@pytest.mark.parametrize("data", ["abc", b"abc", bytearray(b"abc"), memoryview(b"abc")])
def test_payloads(lib: SyncLibrary, role: str, data: object) -> None:
    with wire(lib, role) as (connection, peer):
        event = connection.ping(data)
        frame = peer.receive()
        assert (frame.opcode, frame.payload) == (PING, b"abc")
        assert not event.wait(0.05)
        peer.send(PONG, b"other")
        assert not event.wait(0.05)
        peer.send(PONG, b"abc")
        assert event.wait(5)


def test_random_payload_of_four_octets(lib: SyncLibrary) -> None:
    with wire(lib) as (connection, peer):
        connection.ping()
        connection.ping()
        first, second = peer.receive().payload, peer.receive().payload
        assert len(first) == len(second) == 4
        assert first != second


def test_a_pong_answers_earlier_pings_too(lib: SyncLibrary, role: str) -> None:
    with wire(lib, role) as (connection, peer):
        events = [connection.ping(name) for name in ("a", "b", "c")]
        peer.send(PONG, b"b")
        assert events[0].wait(5)
        assert events[1].wait(5)
        assert not events[2].wait(0.05)


def test_same_payload_twice(lib: SyncLibrary) -> None:
    with wire(lib) as (connection, peer):
        event = connection.ping("same")
        with pytest.raises(lib.ConcurrencyError):
            connection.ping("same")
        peer.send(PONG, b"same")
        assert event.wait(5)
        connection.ping("same")


@pytest.mark.parametrize("data", [42, ["a"]])
def test_wrong_types(lib: SyncLibrary, data: object) -> None:
    with ends(lib) as (local, _remote):
        with pytest.raises(TypeError):
            local.ping(data)
        with pytest.raises(TypeError):
            local.pong(data)


def test_pong(lib: SyncLibrary, role: str) -> None:
    with wire(lib, role) as (connection, peer):
        connection.pong("alive")
        frame = peer.receive()
        assert (frame.opcode, frame.payload) == (PONG, b"alive")
        connection.pong()
        assert peer.receive().payload == b""


def test_pings_are_answered(lib: SyncLibrary, role: str) -> None:
    with wire(lib, role) as (_connection, peer):
        peer.send(PING, b"there?")
        frame = peer.receive()
        assert (frame.opcode, frame.payload) == (PONG, b"there?")


@pytest.mark.parametrize("ack_on_close", [True, False])
def test_ack_on_close(lib: SyncLibrary, role: str, ack_on_close: bool) -> None:
    with wire(lib, role) as (connection, peer):
        event = connection.ping(ack_on_close=ack_on_close)
        peer.abort()
        connection.wait_closed()
        assert event.wait(0.2) is ack_on_close


def test_ping_after_close(lib: SyncLibrary, role: str) -> None:
    with ends(lib, role) as (local, remote):
        remote.close()
        with pytest.raises(lib.ConnectionClosedOK):
            local.ping()
        with pytest.raises(lib.ConnectionClosedOK):
            local.pong()


def test_keepalive_pings(lib: SyncLibrary, role: str) -> None:
    with wire(lib, role, ping_interval=0.05) as (_connection, peer):
        frames = [peer.receive() for _ in range(1)]
        for _ in range(2):
            peer.send(PONG, frames[-1].payload)
            frames.append(peer.receive())
        assert [frame.opcode for frame in frames] == [PING] * 3


def test_no_keepalive(lib: SyncLibrary) -> None:
    with wire(lib, ping_interval=None) as (_connection, peer):
        peer.sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            peer.receive()


def test_keepalive_measures_latency(lib: SyncLibrary, role: str) -> None:
    with ends(lib, role, ping_interval=0.05) as (local, _remote):
        until(lambda: local.latency > 0)


def test_keepalive_gives_up_on_a_silent_peer(lib: SyncLibrary, role: str) -> None:
    with wire(lib, role, ping_interval=0.05, ping_timeout=0.05, close_timeout=0.2) as (
        connection,
        peer,
    ):
        answer = Call(peer.receive_close)
        with pytest.raises(lib.ConnectionClosedError):
            connection.recv()
        assert answer.result() == (1011, "keepalive ping timeout")


def test_ping_timeout_of_none_waits(lib: SyncLibrary) -> None:
    with wire(lib, ping_interval=0.05, ping_timeout=None) as (connection, _peer):
        assert connection.wait_closed(timeout=0.3) is False
