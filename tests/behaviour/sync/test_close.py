"""Closing: codes, who waits for whom, time-outs, context managers."""

from __future__ import annotations

import time

import pytest

from .ends import TEXT, Call, ends, raw_server, until, wire
from .library import SyncLibrary


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4999])
def test_codes(lib: SyncLibrary, role: str, code: int) -> None:
    with ends(lib, role) as (local, remote):
        local.close(code, "why ✓")
        for end in (local, remote):
            assert end.wait_closed(timeout=5) is True
            assert (end.close_code, end.close_reason) == (code, "why ✓")
            assert end.state is lib.State.CLOSED


def test_defaults_and_repetition(lib: SyncLibrary, role: str) -> None:
    with ends(lib, role) as (local, _remote):
        local.close()
        local.close(4000, "again")
        assert (local.close_code, local.close_reason) == (1000, "")


@pytest.mark.parametrize("code", [999, 1005, 1006, 1015, 2999, 5000])
def test_codes_that_may_not_be_sent(lib: SyncLibrary, code: int) -> None:
    with ends(lib) as (local, remote):
        with pytest.raises(lib.ProtocolError):
            local.close(code)
        local.send("still open")
        assert remote.recv(timeout=5) == "still open"


def test_a_reason_that_is_too_long(lib: SyncLibrary) -> None:
    with ends(lib) as (local, remote):
        with pytest.raises(lib.ProtocolError):
            local.close(1000, "x" * 124)
        local.send("still open")
        assert remote.recv(timeout=5) == "still open"


def test_facts_while_open(lib: SyncLibrary, role: str) -> None:
    with ends(lib, role) as (local, remote):
        assert local.state is lib.State.OPEN
        assert (local.close_code, local.close_reason) == (None, None)
        assert local.local_address == remote.remote_address
        assert local.id != remote.id
        assert local.request.path == "/"
        assert local.response.status_code == 101
        assert local.subprotocol is None
        assert local.latency == 0.0
        assert local.wait_closed(timeout=0.05) is False
        assert local.wait_closed(timeout=0) is False


def test_close_waits_for_the_peer(lib: SyncLibrary, role: str) -> None:
    with wire(lib, role) as (connection, peer):
        closing = Call(connection.close)
        assert closing.waits()
        assert peer.answer_close() == (1000, "")
        closing.result()
        assert connection.close_code == 1000


def test_close_gives_up_after_close_timeout(lib: SyncLibrary, role: str) -> None:
    with wire(lib, role, close_timeout=0.2) as (connection, _peer):
        begun = time.monotonic()
        connection.close()
        assert 0.15 < time.monotonic() - begun < 4
        assert connection.close_code == 1006
        with pytest.raises(lib.ConnectionClosedError) as caught:
            connection.recv()
        assert isinstance(caught.value.__cause__, TimeoutError)


def test_messages_sent_before_close_arrive(lib: SyncLibrary, role: str) -> None:
    with ends(lib, role) as (local, remote):
        for number in range(50):
            local.send(str(number) * 1000)
        closing = Call(local.close)
        assert [message[:1] for message in remote][:1] == ["0"]
        closing.result()


def test_messages_received_before_close_are_kept(lib: SyncLibrary, role: str) -> None:
    with wire(lib, role) as (connection, peer):
        peer.send(TEXT, b"one")
        peer.send(TEXT, b"two")
        peer.close(1000)
        assert connection.wait_closed(timeout=5)
        assert [connection.recv(), connection.recv()] == ["one", "two"]
        with pytest.raises(lib.ConnectionClosedOK):
            connection.recv()


def test_close_wakes_who_receives(lib: SyncLibrary, role: str) -> None:
    with ends(lib, role) as (local, _remote):
        receiving = Call(local.recv)
        assert receiving.waits(0.05)
        local.close()
        with pytest.raises(lib.ConnectionClosedOK):
            receiving.result()


def test_several_threads_close(lib: SyncLibrary, role: str) -> None:
    with ends(lib, role) as (local, remote):
        for call in [Call(local.close) for _ in range(5)] + [Call(remote.close)]:
            call.result()
        assert local.close_code == remote.close_code == 1000


def test_leaving_the_block_closes(lib: SyncLibrary, role: str) -> None:
    with ends(lib, role) as (local, remote):
        with local:
            pass
        assert remote.wait_closed(timeout=5)
        assert remote.close_code == 1000


def test_an_exception_closes_with_1011(lib: SyncLibrary, role: str) -> None:
    with ends(lib, role) as (local, remote):
        with pytest.raises(ZeroDivisionError), local:
            raise ZeroDivisionError
        assert remote.wait_closed(timeout=5)
        assert remote.close_code == 1011


def test_close_in_the_middle_of_a_fragmented_message(lib: SyncLibrary, role: str) -> None:
    with wire(lib, role) as (connection, peer):
        closing: list[Call] = []
        answers = Call(peer.answer_close)

        def parts() -> list[str]:
            yield "one"  # type: ignore[misc]
            closing.append(Call(connection.close))
            until(lambda: connection.state is not lib.State.OPEN)
            yield "two"

        with pytest.raises(lib.ConnectionClosedError):
            connection.send(parts())
        closing[0].result()
        assert answers.result() == (1011, "close during fragmented message")


def test_the_peer_breaks_the_protocol(lib: SyncLibrary, role: str) -> None:
    with wire(lib, role) as (connection, peer):
        answer = Call(peer.answer_close)
        peer.send(3, b"an unknown opcode")
        assert answer.result()[0] == 1002
        with pytest.raises(lib.ConnectionClosedError):
            connection.recv()


def test_message_over_max_size(lib: SyncLibrary, role: str) -> None:
    with wire(lib, role, max_size=10) as (connection, peer):
        peer.send(TEXT, b"0123456789")
        assert connection.recv(timeout=5) == "0123456789"
        answer, receiving = Call(peer.answer_close), Call(connection.recv)
        peer.send(TEXT, b"01234567890")
        assert answer.result()[0] == 1009
        with pytest.raises(lib.ConnectionClosedError):
            receiving.result()


def test_no_thread_is_needed_to_answer_a_close(lib: SyncLibrary) -> None:
    """The peer's Close is answered although nobody calls anything."""

    def conversation(peer: object) -> None:
        from ..ends import upgrade_response

        peer.send_octets(upgrade_response(peer.read_head()))  # type: ignore[attr-defined]
        codes.append(peer.close(1001))  # type: ignore[attr-defined]

    codes: list[int] = []
    with raw_server(conversation) as address:
        connection = lib.connect(address, legacy=True)
        until(lambda: connection.state is lib.State.CLOSED)
        assert codes == [1001]
        connection.close()
