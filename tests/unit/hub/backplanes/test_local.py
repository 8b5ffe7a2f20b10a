"""The ``local`` backplane where it can fail: a lost bus, silent processes and slow ones."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from duologue.base.exceptions import BackplaneError
from duologue.base.limits import Limits
from duologue.hub.backplanes import framing, private
from duologue.hub.backplanes.bus import Bus
from duologue.hub.backplanes.framing import Frames, Kind, frame
from duologue.hub.backplanes.local import LocalBackplane

from .venue import PATIENCE, Recorder, text, venue


def cut(backplane: LocalBackplane) -> None:
    """Break the connection to the bus."""
    assert backplane._line is not None
    backplane._line.transport.abort()


async def outcomes(messages: list[Any]) -> list[int | None]:
    """Position of each message, None if it failed."""
    found: list[int | None] = []
    for message in messages:
        try:
            async with asyncio.timeout(PATIENCE):
                found.append(await message)
        except BackplaneError:
            found.append(None)
    return found


async def test_what_is_on_its_way_when_the_connection_is_lost_is_never_repeated() -> None:
    async with venue("local") as place:
        (a, a_heard), (b, b_heard) = await place.join(), await place.join()
        a.interest("x")
        b.interest("x")
        await b.request(b"")
        sent = []
        for number in range(30):
            message = text("x", f"{number}")
            sent.append(message)
            a.publish(message)
            if number % 10 == 4:
                await asyncio.sleep(0)
            if number % 10 == 9:
                # Some of these ten were written, some only queued.
                await a_heard.until(lambda count=number // 10: len(a_heard.gaps) == count)
                cut(a)
        found = await outcomes(sent)
        last = text("x", "last")
        a.publish(last)
        await last
        await b_heard.until(lambda: b_heard.got and b_heard.got[-1][2] == b"last")
        await a_heard.until(lambda: a_heard.gaps)
        # Those that b got: each once, in order, at the position that a was told, if it was.
        payloads = [payload for _, _, payload in b_heard.got]
        order = [f"{number}".encode() for number in range(30)] + [b"last"]
        assert payloads == [each for each in order if each in set(payloads)]
        positions = {payload: position for _, position, payload in b_heard.got}
        for number, position in enumerate(found):
            if position is not None:
                assert positions[b"%d" % number] == position
        assert None in found
        assert a_heard.failures == found.count(None)
        assert sorted(positions.values()) == [position for _, position, _ in b_heard.got]
        assert b_heard.gaps == []


async def test_interests_and_processes_are_there_again() -> None:
    async with venue("local") as place:
        (a, a_heard), (b, b_heard) = await place.join(), await place.join()
        b.interest("x")
        b.interest("y")
        b.no_interest("y")
        cut(b)
        await b_heard.until(lambda: b_heard.gaps)
        await a_heard.until(lambda: a_heard.peers[-1] == ("joined", b.name))
        assert ("gone", b.name) in a_heard.peers
        assert (a.peers, b.peers) == ({b.name}, {a.name})
        await b.request(b"")
        a.publish(text("y", "1"))
        a.publish(text("x", "2"))
        await b_heard.until(lambda: b_heard.got == [("x", 1, b"2")])


async def test_a_lost_bus_is_waited_for_and_positions_go_on(tmp_path: Path) -> None:
    path = tmp_path / "bus"
    async with contextlib.AsyncExitStack() as stack:
        bus = Bus(path)
        await bus.start()
        members: list[tuple[LocalBackplane, Recorder]] = []
        for _ in range(2):
            backplane, heard = LocalBackplane(path), Recorder()
            await backplane.start(heard)
            stack.push_async_callback(backplane.close)
            backplane.interest("x")
            members.append((backplane, heard))
        (a, a_heard), (b, b_heard) = members
        await b.request(b"")
        assert await outcomes([publish(a, "1"), publish(a, "2")]) == [1, 2]
        await bus.close()
        # What is published before the loss is noticed may fail; what is published after it waits.
        async with asyncio.timeout(PATIENCE):
            while a._line is not None:
                await asyncio.sleep(0.001)
        waiting = [publish(a, "3"), publish(a, "4")]
        asking = asyncio.create_task(a.request(b"again?"))
        bus = await stack.enter_async_context(Bus(path))
        third, fourth = await outcomes(waiting)
        assert third is not None and fourth == third + 1 > 3
        assert set(await asking) <= {b.name}
        await b_heard.until(lambda: b_heard.gaps)
        await b.request(b"")
        fifth = (await outcomes([publish(a, "5")]))[0]
        await b_heard.until(lambda: b_heard.got and b_heard.got[-1] == ("x", fifth, b"5"))
        positions = [position for _, position, _ in b_heard.got]
        assert positions == sorted(set(positions))
        assert ("gone", b.name) not in a_heard.peers


def publish(backplane: LocalBackplane, payload: str) -> Any:
    message = text("x", payload)
    backplane.publish(message)
    return message


async def test_one_who_never_comes_back_after_a_lost_bus_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "bus"
    limits = Limits(lease=0.5)
    bus = Bus(path, limits=limits)
    await bus.start()
    a, a_heard = LocalBackplane(path, limits=limits), Recorder()
    b, b_heard = LocalBackplane(path, limits=limits), Recorder()
    await a.start(a_heard)
    await b.start(b_heard)
    await a_heard.until(lambda: a.peers == {b.name})
    await bus.close()
    b.abort()
    async with Bus(path, limits=limits):
        await a_heard.until(lambda: a_heard.peers[-1] == ("gone", b.name))
        await a.close()
        await b.close()


async def test_a_member_hosts_the_bus_and_another_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "bus"
    members = []
    for _ in range(3):
        backplane, heard = LocalBackplane(path, host=True), Recorder()
        await backplane.start(heard)
        backplane.interest("x")
        members.append((backplane, heard))
    hosts = [backplane for backplane, _ in members if backplane.bus is not None]
    assert hosts == [members[0][0]]
    assert len(await members[1][0].request(b"")) == 2
    assert await outcomes([publish(members[2][0], "1")]) == [1]
    await members[0][0].close()
    (b, b_heard), (c, c_heard) = members[1:]
    await b_heard.until(lambda: b_heard.gaps)
    await c_heard.until(lambda: c_heard.gaps)
    await b_heard.until(lambda: b.peers == {c.name})
    assert [backplane.bus is not None for backplane in (b, c)].count(True) == 1
    await b.request(b"")
    (position,) = await outcomes([publish(c, "2")])
    assert position is not None and position > 1
    await b_heard.until(lambda: b_heard.got[-1:] == [("x", position, b"2")])
    await b.close()
    await c.close()


async def test_no_bus(tmp_path: Path) -> None:
    backplane = LocalBackplane(tmp_path / "bus", limits=Limits(open_timeout=0.1))
    with pytest.raises(BackplaneError, match=r"no bus at .* within open_timeout of 0\.1 s"):
        await backplane.start(Recorder())
    with pytest.raises(RuntimeError, match="once"):
        await backplane.start(Recorder())


async def test_where_no_bus_can_be(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "bus"
    backplane = LocalBackplane(path, host=True, limits=Limits(open_timeout=0.2))
    with pytest.raises(BackplaneError, match="no bus") as caught:
        await backplane.start(Recorder())
    assert isinstance(caught.value.__cause__, FileNotFoundError)


async def test_closing_while_the_bus_is_away(tmp_path: Path) -> None:
    bus = Bus(tmp_path / "bus")
    await bus.start()
    backplane, heard = LocalBackplane(bus.path), Recorder()
    await backplane.start(heard)
    await bus.close()
    async with asyncio.timeout(PATIENCE):
        while backplane._line is not None:
            await asyncio.sleep(0.001)
    waiting = publish(backplane, "1")
    await backplane.close()
    assert await outcomes([waiting]) == [None]
    assert heard.failures == 1


# -- processes that are not as they should be


class Raw:
    """A process that speaks as the test says."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._frames = Frames()
        self.heard: list[tuple[int, bytes]] = []

    @classmethod
    async def connect(cls, path: Path, name: str | None = "r" * 16) -> Raw:
        raw = cls(*await asyncio.open_unix_connection(str(path)))
        if name is not None:
            raw.say(Kind.HELLO, bytes([framing.VERSION]), name.encode())
        return raw

    def say(self, kind: int, *parts: bytes) -> None:
        self.writer.write(frame(kind, *parts))

    async def until(self, kind: int) -> bytes:
        """Wait for a frame of this kind."""
        async with asyncio.timeout(PATIENCE):
            while True:
                while self.heard:
                    found, body = self.heard.pop(0)
                    if found == kind:
                        return body
                data = await self.reader.read(65536)
                assert data, "the bus has cut it off"
                self.heard += self._frames.feed(data)

    async def until_cut_off(self) -> None:
        async with asyncio.timeout(PATIENCE):
            with contextlib.suppress(ConnectionError):
                while await self.reader.read(65536):
                    pass

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


async def test_a_silent_process_is_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with venue("local", lease=0.5) as place:
        assert place.bus is not None
        a, heard = await place.join()
        raw = await Raw.connect(place.bus.path)
        await heard.until(lambda: heard.peers == [("joined", "r" * 16)])
        await raw.until_cut_off()
        await heard.until(lambda: heard.peers[-1] == ("gone", "r" * 16))
        assert "no sign of life within lease=0.5" in caplog.text
        assert a.peers == set()
        await raw.close()


async def test_signs_of_life_keep_a_process() -> None:
    """With nothing to say for three leases."""
    async with venue("local", lease=0.3) as place:
        _, heard = await place.join()
        await place.join()
        await asyncio.sleep(0.9)
        assert [kind for kind, _ in heard.peers] == ["joined"]
        assert heard.gaps == []


async def test_without_leases_the_end_of_the_connection_counts() -> None:
    async with venue("local", lease=None) as place:
        assert place.bus is not None
        a, heard = await place.join()
        raw = await Raw.connect(place.bus.path)
        await heard.until(lambda: heard.peers == [("joined", "r" * 16)])
        assert place.bus._lease_timer is None
        assert a._line is not None and a._line._timer is None
        await raw.close()
        await heard.until(lambda: heard.peers[-1] == ("gone", "r" * 16))


async def test_a_process_that_reads_nothing_is_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with venue("local", max_backlog=1_000_000) as place:
        assert place.bus is not None
        a, heard = await place.join()
        raw = await Raw.connect(place.bus.path)
        raw.say(Kind.INTEREST, b"x")
        await heard.until(lambda: heard.peers)
        for number in range(200):
            if heard.peers[-1][0] == "gone":
                break
            message = text("x", b"y" * 50_000)
            a.publish(message)
            assert await message == number + 1
        await heard.until(lambda: heard.peers[-1] == ("gone", "r" * 16))
        assert "max_backlog=1000000" in caplog.text
        await raw.close()


async def test_a_question_that_one_does_not_answer() -> None:
    async with venue("local", request_timeout=0.3) as place:
        assert place.bus is not None
        a, _ = await place.join()
        b, _ = await place.join()
        raw = await Raw.connect(place.bus.path)
        await raw.until(Kind.WELCOME)
        with pytest.raises(BackplaneError, match=r"1 processes.* request_timeout of 0\.3 s"):
            await a.request(b"?")
        # One that goes is not waited for.
        asking = asyncio.create_task(a.request(b"??"))
        await raw.until(Kind.REQUEST)
        await raw.until(Kind.REQUEST)
        await raw.close()
        assert set(await asking) == {b.name}


async def test_one_that_connects_anew_takes_the_place_of_itself() -> None:
    async with venue("local") as place:
        assert place.bus is not None
        _, heard = await place.join()
        first = await Raw.connect(place.bus.path)
        await first.until(Kind.WELCOME)
        second = await Raw.connect(place.bus.path)
        await second.until(Kind.WELCOME)
        await first.until_cut_off()
        await heard.until(lambda: len(heard.peers) == 3)
        assert [kind for kind, _ in heard.peers] == ["joined", "gone", "joined"]
        await first.close()
        await second.close()


@pytest.mark.parametrize(
    "octets",
    [
        frame(Kind.PING),
        frame(Kind.HELLO, b"\x00", b"r" * 16),
        frame(Kind.HELLO, bytes([framing.VERSION]), b"short"),
        frame(Kind.HELLO, bytes([framing.VERSION]), b"r" * 16) + frame(99),
        frame(Kind.HELLO, bytes([framing.VERSION]), b"r" * 16) + b"\xff\xff\xff\xff\x07",
        frame(Kind.HELLO, bytes([framing.VERSION]), b"r" * 16) + frame(Kind.PUBLISH, b"x"),
        frame(Kind.HELLO, bytes([framing.VERSION]), b"r" * 16) + frame(Kind.TELL, b"x"),
        frame(Kind.HELLO, bytes([framing.VERSION]), b"r" * 16) + frame(Kind.INTEREST, b"\xff"),
    ],
    ids=["no greeting", "version", "name", "kind", "size", "publish", "tell", "interest"],
)
async def test_what_is_no_frame_is_cut_off(octets: bytes) -> None:
    async with venue("local") as place:
        assert place.bus is not None
        a, _ = await place.join()
        raw = await Raw.connect(place.bus.path, None)
        raw.writer.write(octets)
        await raw.until_cut_off()
        await raw.close()
        assert await a.request(b"") == {}


async def test_another_user_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(socket, "SO_PEERCRED"):
        pytest.skip("the kernel does not tell who the other end is")
    async with venue("local") as place:
        assert place.bus is not None
        a, b = socket.socketpair(socket.AF_UNIX)
        with a, b:
            private.check_owner(a)
            monkeypatch.setattr(private, "ROOT", -1)
            monkeypatch.setattr(os, "geteuid", lambda: 123_456)
            with pytest.raises(BackplaneError, match="belongs to user"):
                private.check_owner(a)
        raw = await Raw.connect(place.bus.path)
        await raw.until_cut_off()
        await raw.close()


# -- the socket


async def test_the_socket_is_private_and_has_one_owner(tmp_path: Path) -> None:
    path = tmp_path / "bus"
    path.write_text("left behind by one that crashed")
    async with Bus(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with pytest.raises(BackplaneError, match="another process owns"):
            await Bus(path).start()
    assert not path.exists()
    async with Bus(path):
        pass


async def test_a_folder_of_its_own() -> None:
    async with Bus() as bus:
        folder = bus.path.parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not folder.exists()
    await bus.close()


def test_frames_come_in_any_pieces() -> None:
    octets = frame(1, b"a") + frame(2) + frame(3, b"b" * 300)
    for size in range(1, len(octets) + 1):
        frames = Frames()
        found = []
        for at in range(0, len(octets), size):
            found += frames.feed(octets[at : at + size])
        assert found == [(1, b"a"), (2, b""), (3, b"b" * 300)]


def test_a_frame_that_is_too_large() -> None:
    assert Frames(10).feed(frame(1, b"x" * 10)) == [(1, b"x" * 10)]
    with pytest.raises(ValueError, match="11 octets is larger than 10"):
        Frames(10).feed(frame(1, b"x" * 11))
