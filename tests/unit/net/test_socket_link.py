"""A link over a socket of the engine's own, on every event loop that it runs in."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import socket
import sys
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from duologue.net.poller import BACKEND
from duologue.net.socket_link import SocketLink

from .rig import Errors, Owner, linked, needs_hangup, read, reset, sockets_open, turns, watched

pytestmark = pytest.mark.usefixtures("loop_factory")

FAMILIES = pytest.mark.parametrize("kind", [socket.AF_UNIX, socket.AF_INET], ids=["unix", "tcp"])


@FAMILIES
async def test_octets_both_ways(loop_factory: Any, kind: int) -> None:
    with linked(kind) as (link, owner, theirs):
        theirs.send(b"in")
        await owner.until(lambda: owner.received == b"in")
        link.write_octets(b"out")
        link.write_octets(b"")
        assert await read(theirs, 3) == b"out"
        link.close_link()
        assert owner.told == []
        await owner.until_lost()
        assert owner.told == [("lost", None)]
        assert await read(theirs, 1) == b""


@FAMILIES
async def test_written_at_once_without_a_turn_of_the_loop(loop_factory: Any, kind: int) -> None:
    with linked(kind) as (link, _, theirs):
        link.write_octets(b"now")
        assert theirs.recv(10) == b"now"
        assert link.unsent_octets() == 0


async def test_more_than_the_shared_buffer_arrives_in_order(loop_factory: Any) -> None:
    octets = random.Random(1).randbytes(3_000_000)
    with linked() as (_, owner, theirs):
        await asyncio.get_running_loop().sock_sendall(theirs, octets)
        await owner.until(lambda: len(owner.received) == len(octets))
        assert owner.received == octets
        assert max(map(len, owner.pieces)) <= 262_144


@FAMILIES
async def test_the_peer_ends_its_stream_and_we_go_on_writing(loop_factory: Any, kind: int) -> None:
    with linked(kind) as (link, owner, theirs):
        theirs.send(b"last")
        theirs.shutdown(socket.SHUT_WR)
        await owner.until(lambda: "eof" in owner.told)
        assert owner.received == b"last"
        assert not link.is_reading()
        link.write_octets(b"answer")
        assert await read(theirs, 6) == b"answer"
        await turns()
        assert owner.told == ["eof"]
        link.close_link()
        await owner.until_lost()
        assert owner.told == ["eof", ("lost", None)]


@needs_hangup
async def test_the_peer_closes_for_good_after_its_end(loop_factory: Any) -> None:
    with linked() as (_, owner, theirs):
        theirs.close()
        await owner.until_lost()
        assert owner.told == ["eof", ("lost", None)]


async def test_we_end_our_stream_and_go_on_reading(loop_factory: Any) -> None:
    with linked() as (link, owner, theirs):
        link.write_octets(b"last")
        link.write_eof()
        link.write_eof()
        link.write_octets(b"dropped")
        assert await read(theirs, 100) == b"last"
        theirs.send(b"still")
        await owner.until(lambda: owner.received == b"still")


async def test_both_ends_end(loop_factory: Any) -> None:
    with linked(socket.AF_INET) as (link, owner, theirs):
        link.write_eof()
        theirs.shutdown(socket.SHUT_WR)
        await owner.until_lost()
        assert owner.told == ["eof", ("lost", None)]


@pytest.mark.parametrize("paused", [False, pytest.param(True, marks=needs_hangup)])
async def test_a_reset_is_told_with_its_error(loop_factory: Any, paused: bool) -> None:
    with linked(socket.AF_INET) as (link, owner, theirs):
        if paused:
            link.pause()
        reset(theirs)
        await owner.until_lost()
        assert isinstance(owner.reason, ConnectionResetError)
        assert watched() == 0


async def test_an_error_while_writing_is_told_by_the_loop(loop_factory: Any) -> None:
    with linked(socket.AF_INET) as (link, owner, theirs):
        link.pause()
        reset(theirs)
        link.write_octets(b"x")
        link.write_octets(b"y")
        assert owner.told == []
        assert link.unsent_octets() == 0
        await owner.until_lost()
        assert owner.told[-1][0] == "lost"
        assert isinstance(owner.reason, ConnectionError)


async def test_last_words_of_a_peer_that_takes_nothing_more(loop_factory: Any) -> None:
    with linked(socket.AF_INET) as (link, owner, theirs):
        link.write_octets(b"never read, so the peer's end is a reset")
        theirs.send(b"why")
        theirs.close()
        link.write_octets(b"something")
        link.write_octets(b"more")
        assert owner.told == []
        await owner.until_lost()
        assert owner.received == b"why"
        assert isinstance(owner.reason, ConnectionError)
        assert "eof" not in owner.told


async def test_closed_after_the_peer_took_nothing_more(loop_factory: Any) -> None:
    with linked(socket.AF_INET) as (link, owner, theirs):
        link.write_octets(b"never read")
        theirs.close()
        link.write_octets(b"something")
        link.close_link()
        await owner.until_lost()
        assert isinstance(owner.reason, ConnectionError)


async def test_an_error_while_flushing_is_told(loop_factory: Any) -> None:
    with linked(socket.AF_INET) as (link, owner, theirs):
        link.write_octets(bytes(20_000_000))
        await turns()
        reset(theirs)
        await owner.until_lost()
        assert isinstance(owner.reason, ConnectionError)
        assert link.unsent_octets() == 0


async def test_what_the_kernel_does_not_take_waits_in_order(loop_factory: Any) -> None:
    chance = random.Random(2)
    pieces = [chance.randbytes(chance.choice([1, 10, 5000, 70_000])) for _ in range(500)]
    with linked() as (link, owner, theirs):
        for piece in pieces:
            link.write_octets(piece)
        whole = b"".join(pieces)
        assert 0 < link.unsent_octets() < len(whole)
        assert await read(theirs, len(whole)) == whole
        await owner.until(lambda: True in owner.told)
        assert owner.told == [False, True]
        assert link.unsent_octets() == 0


async def test_small_pieces_by_the_hundred_behind_a_full_socket(loop_factory: Any) -> None:
    with linked() as (link, _, theirs):
        size = 4_000_000
        link.write_octets(bytes(size))
        for number in range(1000):
            link.write_octets(b"%d;" % number)
        expected = b"".join(b"%d;" % number for number in range(1000))
        assert (await read(theirs, size + len(expected)))[size:] == expected


async def test_marks(loop_factory: Any) -> None:
    with linked() as (link, owner, theirs):
        link.write_octets(bytes(4_000_000))
        assert owner.told == [False]
        link.write_octets(bytes(1000))
        assert owner.told == [False]
        before = link.unsent_octets()
        assert before > 65_536
        while link.unsent_octets():
            await read(theirs, 1)
        await owner.until(lambda: True in owner.told)
        assert owner.told == [False, True]


async def test_back_pressure_told_while_writing_may_close_the_link(loop_factory: Any) -> None:
    with linked(writable=lambda yes: link.abort_link()) as (link, owner, _):
        link.write_octets(bytes(4_000_000))
        link.write_octets(b"dropped")
        await owner.until_lost()
        assert owner.told == [False, ("lost", None)]


async def test_ending_after_the_queue(loop_factory: Any) -> None:
    with linked() as (link, owner, theirs):
        link.write_octets(b"x" * 2_000_000)
        link.write_eof()
        link.write_octets(b"dropped")
        assert len(await read(theirs, 1 << 30)) == 2_000_000
        theirs.send(b"heard")
        await owner.until(lambda: owner.received == b"heard")


async def test_closing_after_the_queue(loop_factory: Any) -> None:
    with linked() as (link, owner, theirs):
        link.write_octets(b"x" * 2_000_000)
        link.close_link()
        link.close_link()
        link.write_octets(b"dropped")
        assert link.is_closing() and not link.is_reading()
        await turns()
        assert not owner.lost
        assert len(await read(theirs, 1 << 30)) == 2_000_000
        await owner.until_lost()
        assert owner.reason is None


async def test_nothing_is_heard_after_closing_even_when_the_peer_goes(loop_factory: Any) -> None:
    with linked() as (link, owner, theirs):
        link.write_octets(bytes(2_000_000))
        link.close_link()
        theirs.send(b"too late")
        theirs.close()
        await owner.until_lost()
        assert owner.received == b""


async def test_aborting_drops_the_queue(loop_factory: Any) -> None:
    with linked() as (link, owner, theirs):
        link.write_octets(bytes(4_000_000))
        link.close_link()
        link.abort_link()
        link.abort_link()
        assert link.unsent_octets() == 0
        await owner.until_lost()
        assert owner.told == [False, ("lost", None)]
        assert len(await read(theirs, 1 << 30)) < 4_000_000


async def test_all_calls_after_the_end_are_harmless(loop_factory: Any) -> None:
    with linked() as (link, owner, _):
        link.abort_link()
        await owner.until_lost()
        for call in (link.abort_link, link.close_link, link.write_eof, link.pause, link.resume):
            call()
        link.write_octets(b"dropped")
        link.begin()
        link.fail(LookupError())
        await turns()
        assert owner.told == [("lost", None)]
        assert link.is_closing() and not link.is_reading()
        assert watched() == 0


async def test_paused_reading_leaves_octets_where_they_are(loop_factory: Any) -> None:
    with linked() as (link, owner, theirs):
        link.pause()
        link.pause()
        assert not link.is_reading()
        theirs.send(b"later")
        theirs.shutdown(socket.SHUT_WR)
        await asyncio.sleep(0.01)
        assert owner.received == b"" and owner.told == []
        link.resume()
        link.resume()
        await owner.until(lambda: "eof" in owner.told)
        assert owner.received == b"later"


async def test_pausing_inside_a_call_stops_the_next_one(loop_factory: Any) -> None:
    with linked(data=lambda data: link.pause()) as (link, owner, theirs):
        await asyncio.get_running_loop().sock_sendall(theirs, bytes(100_000))
        await owner.until(lambda: owner.pieces)
        theirs.send(b"more")
        await asyncio.sleep(0.01)
        assert len(owner.pieces) == 1
        for _ in range(20):
            link.resume()
            await asyncio.sleep(0)
        await owner.until(lambda: len(owner.received) == 100_004 or link.resume())


async def test_paused_before_it_begins(loop_factory: Any) -> None:
    with linked(begin=False) as (link, owner, theirs):
        theirs.send(b"data")
        link.pause()
        link.write_octets(b"already")
        assert await read(theirs, 7) == b"already"
        link.begin()
        link.begin()
        await asyncio.sleep(0.01)
        assert owner.received == b""
        link.resume()
        await owner.until(lambda: owner.received == b"data")


async def test_it_needs_an_owner_to_begin(loop_factory: Any) -> None:
    ours, theirs = socket.socketpair()
    link = SocketLink(asyncio.get_running_loop(), ours)
    with theirs, pytest.raises(RuntimeError, match="no owner"):
        link.begin()
    assert watched() == 0


async def test_a_link_that_nobody_wants_closes_its_socket(loop_factory: Any) -> None:
    ours, theirs = socket.socketpair()
    link = SocketLink(asyncio.get_running_loop(), ours)
    assert ours.fileno() == -1
    with theirs:
        del link
        assert theirs.recv(1) == b""


async def test_the_owner_may_hand_the_link_over(loop_factory: Any) -> None:
    second = Owner()
    gone: list[object] = []
    with linked(data=lambda data: link.attach(second)) as (link, first, theirs):
        weakref.finalize(first, gone.append, True)
        theirs.send(b"1")
        await first.until(lambda: first.received)
        theirs.send(b"2")
        await second.until(lambda: second.received)
        assert (first.received, second.received) == (b"1", b"2")
        link.close_link()
        await second.until_lost()
        assert first.told == []


async def test_an_owner_that_lets_itself_go_inside_a_call(loop_factory: Any) -> None:
    second = Owner()
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    link = SocketLink(asyncio.get_running_loop(), ours)

    class First(Owner):
        def data_received(self, data: bytes) -> None:
            link.attach(second)
            gc.collect()
            second.told.append(self.told)

    link.attach(First())
    link.begin()
    with theirs:
        theirs.send(b"x")
        while not second.told:
            await asyncio.sleep(0)
        assert second.told == [[]]
        link.abort_link()
        await second.until_lost()


@pytest.mark.parametrize("where", ["data", "eof", "writable"])
async def test_an_exception_of_the_owner_ends_its_link_only(loop_factory: Any, where: str) -> None:
    errors = Errors()

    def fail(*_: object) -> None:
        raise LookupError(where)

    with linked(**{where: fail}) as (link, owner, theirs), linked() as (_, other, their_other):
        if where == "writable":
            with pytest.raises(LookupError):
                link.write_octets(bytes(4_000_000))
            assert not link.is_closing()
            errors.contexts.append({"exception": LookupError()})
            await read(theirs, 4_000_000)
        else:
            theirs.send(b"x")
            theirs.shutdown(socket.SHUT_WR)
        await owner.until_lost()
        assert isinstance(owner.reason, LookupError)
        assert set(errors.exceptions) == {LookupError}
        their_other.send(b"alive")
        await other.until(lambda: other.received == b"alive")


async def test_addresses_also_after_the_end(loop_factory: Any) -> None:
    with linked(socket.AF_INET) as (link, owner, theirs):
        expected = (theirs.getpeername(), theirs.getsockname())
        for _ in range(2):
            assert link.get_extra_info("sockname") == expected[0]
            assert link.get_extra_info("peername") == expected[1]
            assert link.get_extra_info("nonsense") is None
            link.abort_link()
            await owner.until_lost()
        assert repr(link).startswith("<SocketLink fd=-1")


def pair_at(place: str, path: Any) -> tuple[socket.socket, socket.socket]:
    """Two connected sockets with addresses of a kind."""
    if place == "unnamed":
        return socket.socketpair()
    name: Any = {
        "IPv4": ("127.0.0.1", 0),
        "IPv6": ("::1", 0),
        "path": str(path),
        "abstract": b"\0duologue \xff\0test",
    }[place]
    kind = {"IPv4": socket.AF_INET, "IPv6": socket.AF_INET6}.get(place, socket.AF_UNIX)
    with socket.socket(kind) as listener:
        listener.bind(name)
        listener.listen()
        client = socket.socket(kind)
        client.connect(listener.getsockname())
        return listener.accept()[0], client


@pytest.mark.parametrize("place", ["IPv4", "IPv6", "path", "abstract", "unnamed"])
async def test_addresses_are_those_of_the_socket_module(place: str, tmp_path: Any) -> None:
    if place == "abstract" and sys.platform != "linux":
        pytest.skip("only Linux has abstract names")
    for ours, theirs in (pair_at(place, tmp_path / "é"), pair_at(place, tmp_path / "b")[::-1]):
        expected = (ours.getsockname(), ours.getpeername())
        ours.setblocking(False)
        link, owner = SocketLink(asyncio.get_running_loop(), ours), Owner()
        link.attach(owner)
        link.begin()
        with theirs:
            for _ in range(2):
                found = (link.get_extra_info("sockname"), link.get_extra_info("peername"))
                assert found == expected
                link.abort_link()
                await owner.until_lost()


async def test_all_that_close_in_a_batch_are_told_after_it(loop_factory: Any) -> None:
    errors = Errors()
    lost_inside: list[bool] = []

    def fail(*_: object) -> None:
        raise LookupError

    def abort_all(_: bytes) -> None:
        for link, owner in ((link1, owner1), (link2, owner2)):
            link.abort_link()
            lost_inside.append(owner.lost)

    with (
        linked(lost=fail) as (link1, owner1, _),
        linked() as (link2, owner2, _),
        linked(data=abort_all) as (_, _, theirs),
    ):
        theirs.send(b"x")
        await owner2.until_lost()
    assert lost_inside == [False, False]
    assert owner1.lost
    assert errors.exceptions == [LookupError]


async def test_writing_much_keeps_no_copy(loop_factory: Any) -> None:
    with linked() as (link, _, theirs):
        octets = bytes(8_000_000)
        link.write_octets(octets)
        assert any(octets is each for each in gc.get_referrers(octets)) is False
        await read(theirs, 8_000_000)


async def test_many_links_leave_nothing_behind(loop_factory: Any) -> None:
    before = sockets_open()
    for _ in range(100):
        with linked() as (link, owner, theirs):
            theirs.send(b"x")
            await owner.until(lambda owner=owner: owner.received)  # type: ignore[misc]
            link.abort_link()
            await owner.until_lost()
    assert watched() == 0
    assert sockets_open() == before


async def test_a_link_and_its_owner_are_let_go(loop_factory: Any) -> None:
    ours, theirs = socket.socketpair()
    link, owner = SocketLink(asyncio.get_running_loop(), ours), Owner()
    owner.link = link  # type: ignore[attr-defined]  # as connections do
    link.attach(owner)
    link.begin()
    theirs.close()
    await owner.until_lost()
    dead = weakref.ref(owner), weakref.ref(link)
    del owner, link
    await turns()
    gc.collect()
    assert [each() for each in dead] == [None, None]


async def test_large_frames_are_received_into_place(loop_factory: Any) -> None:
    """The owner's own space is used: a message far larger than the buffer comes in long reads."""
    from duologue import connect, serve

    size = 6_000_000

    async def echo(connection: Any) -> None:
        async for message in connection:
            await connection.send(message)

    octets = os.urandom(size)
    options: dict[str, Any] = {"compression": None, "max_size": None}
    async with serve(echo, "127.0.0.1", 0, engine=BACKEND, **options) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}", engine=BACKEND, **options) as client:
            sending = asyncio.create_task(client.send(octets))
            assert await client.recv() == octets
            await sending


async def test_a_nested_drain_keeps_what_the_outer_call_is_looking_at(
    loop_factory: Callable[[], Any],
) -> None:
    """A loop run inside a callback (as nest_asyncio does) receives into another buffer."""
    from duologue.net.poller import poller_of

    poller = poller_of(asyncio.get_running_loop())
    with linked(data=lambda data: poller.drain()) as (_, outer, theirs):
        with linked(data=lambda data: poller.drain()) as (_, inner, their_inner):
            theirs.send(b"outer")
            their_inner.send(b"inner")
            await outer.until(lambda: outer.received)
            await inner.until(lambda: inner.received)
            assert (outer.received, inner.received) == (b"outer", b"inner")
