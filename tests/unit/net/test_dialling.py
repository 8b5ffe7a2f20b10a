"""Connecting by name: the order of addresses, their stagger, their errors, what is left over."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from duologue.net.dialling import ATTEMPT_DELAY, Address, dial, dial_link, interleave
from duologue.net.socket_link import SocketLink
from duologue.testing import VirtualEventLoop, virtual_loop_factory

from .rig import Owner, sockets_open

FOUR, SIX = socket.AF_INET, socket.AF_INET6


def address(family: int, number: int) -> Address:
    host = f"10.0.0.{number}" if family == FOUR else f"fd00::{number}"
    return (family, socket.SOCK_STREAM, 6, "", (host, 80))


def names(addresses: list[Address]) -> list[str]:
    return [each[4][0] for each in addresses]


@pytest.mark.parametrize(
    ("families", "first", "expected"),
    [
        ([], 1, []),
        ([4], 1, [4]),
        ([6, 6, 4, 4], 1, [6, 4, 6, 4]),
        ([4, 4, 4, 6], 1, [4, 6, 4, 4]),
        ([6, 6, 6, 4, 4], 2, [6, 6, 4, 6, 4]),
        ([6, 6, 4], 9, [6, 6, 4]),
    ],
)
def test_families_take_turns(families: list[int], first: int, expected: list[int]) -> None:
    given = [address(FOUR if each == 4 else SIX, index) for index, each in enumerate(families)]
    mixed = interleave(given, first)
    assert [4 if each[0] == FOUR else 6 for each in mixed] == expected
    for family in (FOUR, SIX):
        # Within a family the resolver's order stays.
        assert [x for x in mixed if x[0] == family] == [x for x in given if x[0] == family]


class World(VirtualEventLoop):
    """Virtual time, a resolver with addresses of its own, peers that answer as told."""

    def __init__(self, made: VirtualEventLoop) -> None:
        super().__init__(made.clock)
        made.close()
        self.addresses: list[Address] = [address(SIX, 1), address(SIX, 2), address(FOUR, 3)]
        self.answers: dict[str, tuple[float, Exception | None]] = {}
        self.tried: list[tuple[float, str]] = []
        self.asked: list[tuple[Any, ...]] = []
        self.sockets: list[socket.socket] = []

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        self.asked.append((host, port, options))
        return self.addresses

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        self.tried.append((self.time(), address[0]))
        self.sockets.append(sock)
        seconds, exc = self.answers.get(address[0], (1e6, None))
        await asyncio.sleep(seconds)
        if exc is not None:
            raise exc

    def still_open(self) -> int:
        return sum(sock.fileno() >= 0 for sock in self.sockets)


@pytest.fixture
def loop_factory() -> Callable[[], World]:
    return lambda: World(virtual_loop_factory()())


def world() -> World:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, World)
    return loop


A, B, C = "fd00::1", "fd00::2", "10.0.0.3"
REFUSED = ConnectionRefusedError(111, "refused")


async def test_the_next_address_is_tried_a_little_later(loop_factory: Any) -> None:
    loop = world()
    loop.answers = {B: (0.1, None)}
    sock = await dial(loop, "example", 80)
    # Families take turns, and each is tried while those before it have not answered.
    assert loop.tried == [(0, A), (ATTEMPT_DELAY, C), (2 * ATTEMPT_DELAY, B)]
    assert loop.time() == 2 * ATTEMPT_DELAY + 0.1
    assert sock is loop.sockets[2]
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert not sock.getblocking()
    await asyncio.sleep(0)
    assert loop.still_open() == 1
    sock.close()


async def test_a_failure_moves_on_at_once(loop_factory: Any) -> None:
    loop = world()
    loop.answers = {A: (0.05, REFUSED), C: (0.01, None)}
    (await dial(loop, "example", 80)).close()
    assert loop.tried == [(0, A), (0.05, C)]


async def test_the_first_that_answers_wins_and_the_slow_are_closed(loop_factory: Any) -> None:
    loop = world()
    loop.answers = {A: (0.3, None), C: (0.2, None)}
    sock = await dial(loop, "example", 80)
    assert sock is loop.sockets[0]
    assert [name for _, name in loop.tried] == [A, C]
    await asyncio.sleep(1)
    assert loop.still_open() == 1
    sock.close()


async def test_two_that_answer_in_one_moment(loop_factory: Any) -> None:
    loop = world()
    loop.answers = {A: (0.5, None), C: (0.25, None)}
    sock = await dial(loop, "example", 80, happy_eyeballs_delay=0.25)
    await asyncio.sleep(1)
    assert loop.still_open() == 1
    sock.close()


async def test_without_a_delay_each_has_to_fail_first(loop_factory: Any) -> None:
    loop = world()
    loop.answers = {A: (5, REFUSED), C: (7, REFUSED), B: (1, None)}
    (await dial(loop, "example", 80, happy_eyeballs_delay=None)).close()
    assert loop.tried == [(0, A), (5, C), (12, B)]


async def test_the_resolvers_order_can_be_kept(loop_factory: Any) -> None:
    loop = world()
    loop.answers = {A: (0, REFUSED), B: (0, REFUSED), C: (0, None)}
    (await dial(loop, "example", 80, interleave=0)).close()
    assert [name for _, name in loop.tried] == [A, B, C]


async def test_all_fail(loop_factory: Any) -> None:
    loop = world()
    unreachable = OSError(101, "unreachable")
    loop.answers = {A: (0, REFUSED), C: (0, REFUSED), B: (0, unreachable)}
    with pytest.raises(OSError, match=r"refused; .*refused; .*unreachable") as caught:
        await dial(loop, "example", 80)
    assert caught.value.errno == 101
    with pytest.raises(ExceptionGroup) as group:
        await dial(loop, "example", 80, all_errors=True)
    assert group.value.exceptions == (REFUSED, REFUSED, unreachable)
    assert loop.still_open() == 0


async def test_the_only_address_fails(loop_factory: Any) -> None:
    loop = world()
    loop.addresses = loop.addresses[:1]
    loop.answers = {A: (0, REFUSED)}
    with pytest.raises(ConnectionRefusedError) as caught:
        await dial(loop, "example", 80)
    assert caught.value is REFUSED
    loop.addresses = []
    with pytest.raises(OSError, match="returned no addresses"):
        await dial(loop, "example", 80)


async def test_cancelling_closes_what_was_tried(loop_factory: Any) -> None:
    loop = world()
    task = loop.create_task(dial(loop, "example", 80))
    await asyncio.sleep(1)
    assert loop.still_open() == 3
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)
    assert loop.still_open() == 0


async def test_the_resolver_is_told_what_is_wanted(loop_factory: Any) -> None:
    loop = world()
    loop.answers = {A: (0, None)}
    (await dial(loop, "example", 80, family=SIX, proto=6, flags=2)).close()
    wanted = {"family": SIX, "type": socket.SOCK_STREAM, "proto": 6, "flags": 2}
    assert loop.asked == [("example", 80, wanted)]


# -- real sockets


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


class TestOnLoopback:
    @pytest.fixture
    def loop_factory(self) -> Callable[[], asyncio.AbstractEventLoop]:
        return asyncio.SelectorEventLoop

    async def test_from_a_local_address(self, loop_factory: Any, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        host, port = listener.getsockname()
        with await dial(loop, host, port, local_addr=("127.0.0.2", 0)) as sock:
            assert sock.getsockname()[0] == "127.0.0.2"
            assert sock.getpeername() == (host, port)

    async def test_a_local_address_of_another_family(
        self, loop_factory: Any, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        loop = asyncio.get_running_loop()
        found = [[address(FOUR, 1)], [address(SIX, 1)]]

        async def getaddrinfo(*args: Any, **options: Any) -> Any:
            return found.pop(0)

        monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
        before = sockets_open()
        with pytest.raises(OSError, match="no address of the family"):
            await dial(loop, "x", 80, local_addr=("::1", 0))
        assert sockets_open() == before

    async def test_nobody_listens(self, loop_factory: Any, listener: socket.socket) -> None:
        port = listener.getsockname()[1]
        listener.close()
        before = sockets_open()
        with pytest.raises(ConnectionRefusedError):
            await dial_link(asyncio.get_running_loop(), host="127.0.0.1", port=port)
        assert sockets_open() == before

    @pytest.mark.parametrize("way", ["host", "sock", "unix"])
    async def test_a_link_each_way(self, loop_factory: Any, way: str) -> None:
        loop = asyncio.get_running_loop()
        options: dict[str, Any]
        with (
            tempfile.TemporaryDirectory() as folder,
            socket.socket(socket.AF_UNIX if way == "unix" else socket.AF_INET) as server,
        ):
            server.bind(os.path.join(folder, "s") if way == "unix" else ("127.0.0.1", 0))
            server.listen()
            where = server.getsockname()
            if way == "sock":
                options = {"sock": socket.create_connection(where)}
            elif way == "unix":
                options = {"unix": True, "path": where}
            else:
                options = {"host": where[0], "port": where[1]}
            link = await dial_link(loop, **options)
            assert isinstance(link, SocketLink)
            owner = Owner()
            link.attach(owner)
            link.begin()
            with server.accept()[0] as peer:
                peer.send(b"hello")
                await owner.until(lambda: owner.received == b"hello")
            link.abort_link()
            await owner.until_lost()

    async def test_options_that_mean_nothing_are_refused(self, loop_factory: Any) -> None:
        loop = asyncio.get_running_loop()
        with socket.socket() as sock:
            for options in ({"sock": sock}, {"unix": True, "path": "x"}):
                with pytest.raises(TypeError, match="unexpected option 'local_addr'"):
                    await dial_link(loop, local_addr=("127.0.0.1", 0), **options)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="no path and sock"):
            await dial_link(loop, unix=True)
        with pytest.raises(FileNotFoundError):
            await dial_link(loop, unix=True, path="/nonexistent/socket")
