"""Receiving: ``recv`` with and without a time-out, iteration, streaming, concurrency."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from .ends import BINARY, CONT, TEXT, Call, ends, until, wire
from .library import SyncLibrary


@pytest.mark.parametrize("message", ["😀 hello", "", b"\x01\x02\xfe\xff", b""])
def test_text_and_binary(lib: SyncLibrary, role: str, message: str | bytes) -> None:
    with ends(lib, role) as (local, remote):
        remote.send(message)
        received = local.recv()
        assert received == message
        assert type(received) is type(message)


@pytest.mark.parametrize(
    ("opcode", "decode", "expected"),
    [
        (TEXT, None, "😀"),
        (TEXT, True, "😀"),
        (TEXT, False, "😀".encode()),
        (BINARY, None, "😀".encode()),
        (BINARY, True, "😀"),
        (BINARY, False, "😀".encode()),
    ],
)
def test_decode(
    lib: SyncLibrary, role: str, opcode: int, decode: bool | None, expected: str | bytes
) -> None:
    with wire(lib, role) as (connection, peer):
        peer.send(opcode, "😀".encode())
        assert connection.recv(decode=decode) == expected


def test_parameters_by_position(lib: SyncLibrary) -> None:
    with ends(lib) as (local, remote):
        remote.send("text")
        assert local.recv(5.0, False) == b"text"


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536, 300_000])
def test_sizes(lib: SyncLibrary, role: str, size: int) -> None:
    message = (bytes(range(256)) * (size // 256 + 1))[:size]
    with ends(lib, role) as (local, remote):
        remote.send(message)
        assert local.recv() == message


def test_fragments_become_one_message(lib: SyncLibrary, role: str) -> None:
    with wire(lib, role) as (connection, peer):
        peer.send(TEXT, b"caf", fin=False)
        peer.send(CONT, "é".encode()[:1], fin=False)
        peer.send(CONT, "é".encode()[1:])
        assert connection.recv(timeout=5) == "café"


def test_a_message_that_comes_while_recv_waits(lib: SyncLibrary, role: str) -> None:
    with ends(lib, role) as (local, remote):
        call = Call(local.recv)
        assert call.waits()
        remote.send("late")
        assert call.result() == "late"


@pytest.mark.parametrize("timeout", [0.01, 0, -1])
def test_time_out(lib: SyncLibrary, role: str, timeout: float) -> None:
    with ends(lib, role) as (local, remote):
        with pytest.raises(TimeoutError):
            local.recv(timeout=timeout)
        remote.send("after")
        assert local.recv(timeout=5) == "after"


def test_time_out_of_zero_takes_what_is_there(lib: SyncLibrary) -> None:
    with ends(lib) as (local, remote):
        remote.send("one")
        remote.send("two")
        assert local.recv(timeout=5) == "one"

        def taken() -> bool:
            try:
                return bool(local.recv(timeout=0) == "two")
            except TimeoutError:
                return False

        until(taken)


def test_time_out_in_the_middle_of_a_message_loses_nothing(lib: SyncLibrary, role: str) -> None:
    with wire(lib, role) as (connection, peer):
        peer.send(TEXT, b"first half, ", fin=False)
        with pytest.raises(TimeoutError):
            connection.recv(timeout=0.1)
        peer.send(CONT, b"second half")
        assert connection.recv(timeout=5) == "first half, second half"


def test_iteration_ends_with_a_normal_close(lib: SyncLibrary, role: str) -> None:
    with ends(lib, role) as (local, remote):
        for number in range(5):
            remote.send(str(number))
        closing = Call(remote.close)
        assert list(local) == ["0", "1", "2", "3", "4"]
        closing.result()


def test_iteration_raises_after_an_error(lib: SyncLibrary, role: str) -> None:
    with wire(lib, role) as (connection, peer):
        peer.send(TEXT, b"last")
        peer.close(1011, "broken")
        received = []
        with pytest.raises(lib.ConnectionClosedError) as caught:
            for message in connection:
                received.append(message)
        assert received == ["last"]
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (1011, "broken")


def test_recv_after_a_normal_close(lib: SyncLibrary, role: str) -> None:
    with ends(lib, role) as (local, remote):
        remote.close()
        with pytest.raises(lib.ConnectionClosedOK):
            local.recv()
        with pytest.raises(lib.ConnectionClosedOK):
            local.recv(timeout=0)


def test_recv_when_the_peer_cuts_the_connection(lib: SyncLibrary, role: str) -> None:
    with wire(lib, role) as (connection, peer):
        call = Call(connection.recv)
        assert call.waits(0.05)
        peer.abort()
        with pytest.raises(lib.ConnectionClosedError):
            call.result()
        assert connection.close_code == 1006


def test_two_threads_may_not_receive(lib: SyncLibrary, role: str) -> None:
    with ends(lib, role) as (local, remote):
        call = Call(local.recv)
        assert call.waits()
        with pytest.raises(lib.ConcurrencyError) as caught:
            local.recv()
        assert str(caught.value) == (
            "cannot call recv while another thread is already running recv or recv_streaming"
        )
        with pytest.raises(lib.ConcurrencyError) as caught:
            next(local.recv_streaming())
        assert str(caught.value) == (
            "cannot call recv_streaming while another thread "
            "is already running recv or recv_streaming"
        )
        remote.send("for the first")
        assert call.result() == "for the first"


def test_recv_decode_of_what_is_no_text(lib: SyncLibrary, role: str) -> None:
    with wire(lib, role) as (connection, peer):
        peer.send(BINARY, b"\xff\xfe")
        answer = Call(peer.answer_close)
        with pytest.raises(lib.ConnectionClosedError) as caught:
            connection.recv(decode=True)
        assert caught.value.sent.code == 1007
        assert answer.result()[0] == 1007


def test_streaming(lib: SyncLibrary, role: str) -> None:
    with wire(lib, role) as (connection, peer):
        peer.send(TEXT, "é".encode()[:1], fin=False)
        peer.send(CONT, "é".encode()[1:] + b"t", fin=False)
        peer.send(CONT, b"!")
        peer.send(BINARY, b"whole")
        assert list(connection.recv_streaming()) == ["", "ét", "!"]
        assert list(connection.recv_streaming()) == [b"whole"]


def test_streaming_gives_fragments_as_they_come(lib: SyncLibrary, role: str) -> None:
    with wire(lib, role) as (connection, peer):
        peer.send(BINARY, b"one", fin=False)
        parts = connection.recv_streaming()
        assert next(parts) == b"one"
        call = Call(next, parts)
        assert call.waits()
        peer.send(CONT, b"two")
        assert call.result() == b"two"
        with pytest.raises(StopIteration):
            next(parts)


@pytest.mark.parametrize(("decode", "expected"), [(True, ["a", "b"]), (False, [b"a", b"b"])])
def test_streaming_with_decode(lib: SyncLibrary, decode: bool, expected: list[Any]) -> None:
    with wire(lib) as (connection, peer):
        for opcode in (TEXT, BINARY):
            peer.send(opcode, b"a", fin=False)
            peer.send(CONT, b"b")
            assert list(connection.recv_streaming(decode=decode)) == expected


def test_streaming_must_be_used_up(lib: SyncLibrary) -> None:
    with wire(lib) as (connection, peer):
        peer.send(TEXT, b"one", fin=False)
        parts = connection.recv_streaming()
        assert next(parts) == "one"
        del parts
        peer.send(CONT, b"two")
        with pytest.raises(lib.ConcurrencyError):
            connection.recv(timeout=1)


def test_streaming_when_the_connection_closes(lib: SyncLibrary, role: str) -> None:
    with wire(lib, role) as (connection, peer):
        peer.send(TEXT, b"one", fin=False)
        parts = connection.recv_streaming()
        assert next(parts) == "one"
        peer.abort()
        with pytest.raises(lib.ConnectionClosedError):
            next(parts)


def test_several_connections_in_several_threads(lib: SyncLibrary) -> None:
    with ends(lib) as (first, first_remote), ends(lib) as (second, second_remote):
        calls = [Call(first.recv), Call(second.recv)]
        second_remote.send("second")
        first_remote.send("first")
        assert [call.result() for call in calls] == ["first", "second"]


def test_max_queue_pauses_reading(lib: SyncLibrary, role: str) -> None:
    """With a mark of one message the peer is held back by TCP; without one it is not."""
    chunk = b"x" * 65536
    count = 400

    def sent_of(max_queue: int | None) -> int:
        sent = 0
        with wire(lib, role, max_queue=max_queue) as (connection, peer):
            peer.sock.settimeout(0.5)
            try:
                for _ in range(count):
                    peer.send(BINARY, chunk)
                    sent += 1
            except TimeoutError:
                return sent
            for _ in range(count):
                assert connection.recv(timeout=5) == chunk
        return sent

    assert sent_of(None) == count
    assert sent_of(1) < count


def test_reading_goes_on_when_messages_are_taken(lib: SyncLibrary, role: str) -> None:
    with ends(lib, role, max_queue=2) as (local, remote):
        sending = Call(lambda: [remote.send(f"{number:06}" * 2000) for number in range(300)])
        for number in range(300):
            assert local.recv(timeout=5)[:6] == f"{number:06}"
        sending.result()


def test_recv_in_one_thread_and_send_in_another(lib: SyncLibrary, role: str) -> None:
    with ends(lib, role) as (local, remote):
        received: list[Any] = []
        done = threading.Event()

        def receive() -> None:
            for message in local:
                received.append(message)
                if len(received) == 200:
                    done.set()

        receiving = Call(receive)
        back = Call(lambda: [remote.recv() for _ in range(200)])
        for number in range(200):
            remote.send(str(number))
            local.send(str(-number))
        assert done.wait(5)
        assert received == [str(number) for number in range(200)]
        assert back.result() == [str(-number) for number in range(200)]
        remote.close()
        receiving.result()
