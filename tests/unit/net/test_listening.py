"""Listening: where, with which options, and what is said when it can't be."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from duologue import serve, unix_serve
from duologue.net.listening import EngineServer, bind, bind_unix, listen

from .rig import sockets_open, watched
from .test_listener import Acceptor, call


async def handler(connection: Any) -> None: ...


def loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


async def test_a_server_from_begin_to_end(loop_factory: Any) -> None:
    acceptor = Acceptor()
    server = await listen(loop(), acceptor, "127.0.0.1", 0)
    assert isinstance(server, EngineServer)
    assert server.is_serving() and server.get_loop() is loop()
    (sock,) = server.sockets
    with call(sock.getsockname()):
        await acceptor.until(1)
    await server.start_serving()
    assert watched() == 1 + (not acceptor.links[0].is_closing())
    server.close()
    server.close()
    await server.wait_closed()
    assert not server.is_serving() and server.sockets == () and sock.fileno() == -1
    await server.start_serving()
    assert not server.is_serving()
    await acceptor.close()


async def test_start_serving_false(loop_factory: Any) -> None:
    acceptor = Acceptor()
    server = await listen(loop(), acceptor, "127.0.0.1", 0, start_serving=False)
    assert not server.is_serving()
    with pytest.raises(ConnectionRefusedError), socket.socket() as sock:
        sock.connect(server.sockets[0].getsockname())
    await server.start_serving()
    with call(server.sockets[0].getsockname()):
        await acceptor.until(1)
    server.close()
    await acceptor.close()


def families(socks: list[socket.socket]) -> list[tuple[int, Any]]:
    found = [(int(sock.family), sock.getsockname()[0]) for sock in socks]
    for sock in socks:
        assert not sock.getblocking() and not sock.get_inheritable()
        sock.close()
    return sorted(found)


async def test_hosts() -> None:
    four, six = int(socket.AF_INET), int(socket.AF_INET6)
    assert families(await bind(loop(), "127.0.0.1", 0)) == [(four, "127.0.0.1")]
    several = ["127.0.0.1", "127.0.0.2", "127.0.0.1"]
    assert families(await bind(loop(), several, None)) == [(four, "127.0.0.1"), (four, "127.0.0.2")]
    for everything in (None, ""):
        found = families(await bind(loop(), everything, 0))
        assert (four, "0.0.0.0") in found
        assert set(found) <= {(four, "0.0.0.0"), (six, "::")}
    only = await bind(loop(), "localhost", 0, family=socket.AF_INET)
    assert families(only) == [(four, "127.0.0.1")]


async def test_reuse_address_and_port() -> None:
    def options(sock: socket.socket) -> tuple[int, int]:
        with sock:
            return (
                sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR),
                sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT),
            )

    host = "127.0.0.1"
    assert options(*await bind(loop(), host, 0)) == (1, 0)
    assert options(*await bind(loop(), host, 0, reuse_address=False)) == (0, 0)
    assert options(*await bind(loop(), host, 0, reuse_port=True)) == (1, 1)
    (first,) = await bind(loop(), host, 0, reuse_port=True)
    first.listen()
    port = first.getsockname()[1]
    (second,) = await bind(loop(), host, port, reuse_port=True)
    second.listen()
    first.close()
    second.close()


async def test_errors_name_the_address() -> None:
    before = sockets_open()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=rf"cannot listen on '?127\.0\.0\.1'? port {port}: ") as e:
            await bind(loop(), ["127.0.0.2", "127.0.0.1"], port)
        assert e.value.errno == errno.EADDRINUSE
    with pytest.raises(OSError, match=r"192\.0\.2\.1"):
        await bind(loop(), "192.0.2.1", 0)
    with pytest.raises(OSError):
        await bind(loop(), "name.invalid", 0)
    assert sockets_open() == before


async def test_listening_fails_and_closes(loop_factory: Any) -> None:
    before = sockets_open()
    first = await listen(loop(), Acceptor(), "127.0.0.1", 0, reuse_port=True, start_serving=False)
    port = first.sockets[0].getsockname()[1]
    second = await listen(
        loop(), Acceptor(), "127.0.0.1", port, reuse_port=True, start_serving=False
    )
    first.close()
    second.close()
    with pytest.raises(OSError):  # a datagram socket can't listen
        await listen(loop(), Acceptor(), None, None, sock=socket.socket(type=socket.SOCK_DGRAM))
    assert sockets_open() == before
    assert watched() == 0


async def test_a_given_socket(loop_factory: Any) -> None:
    acceptor = Acceptor()
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    server = await listen(loop(), acceptor, None, None, sock=sock)
    assert server.sockets == (sock,)
    with call(sock.getsockname()):
        await acceptor.until(1)
    server.close()
    await acceptor.close()
    for wrong in ({"host": "127.0.0.1"}, {"port": 0}, {"path": "x"}):
        options: dict[str, Any] = {"host": None, "port": None, **wrong}
        with pytest.raises(ValueError, match="sock can not be combined"):
            await listen(loop(), acceptor, sock=sock, **options)


@pytest.mark.parametrize("where", [{}, {"unix": True, "path": "x"}, {"sock": socket.socket()}])
async def test_unknown_options_are_refused(where: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="nonsense"):
        await listen(loop(), Acceptor(), None, None, nonsense=1, **where)
    for sock in where.values():
        if isinstance(sock, socket.socket):
            sock.close()
    with pytest.raises(ValueError, match="path was not specified"):
        await listen(loop(), Acceptor(), None, None, unix=True)


async def test_unix_paths(loop_factory: Any, tmp_path: Path) -> None:
    acceptor = Acceptor()
    path = tmp_path / "socket"
    for _ in range(2):  # what a server before left behind is replaced
        server = await listen(loop(), acceptor, None, None, unix=True, path=path)
        with call(str(path)):
            count = len(acceptor.links) + 1
            await acceptor.until(count)
        server.close()
        assert path.is_socket()
    await acceptor.close()


async def test_unix_paths_that_cannot_be(tmp_path: Path) -> None:
    before = sockets_open()
    taken = tmp_path / "file"
    taken.write_text("precious")
    with pytest.raises(OSError, match=f"cannot listen on {taken}: ") as caught:
        bind_unix(taken)
    assert caught.value.errno == errno.EADDRINUSE
    assert taken.read_text() == "precious"
    with pytest.raises(OSError, match=r"cannot listen on .*/missing/socket"):
        bind_unix(tmp_path / "missing" / "socket")
    with pytest.raises(OSError, match="too long"):
        bind_unix(tmp_path / ("x" * 200))
    assert sockets_open() == before


async def test_abstract_unix_addresses() -> None:
    name = f"\0duologue-{os.getpid()}"
    with bind_unix(name) as sock:
        assert sock.getsockname() == name.encode()
        with pytest.raises(OSError) as caught:
            bind_unix(name)
        assert caught.value.errno == errno.EADDRINUSE


async def test_backlog(loop_factory: Any) -> None:
    """How many wait in the kernel is what was asked for."""
    refused = {}
    for backlog in (1, 50):
        server = await listen(loop(), Acceptor(), "127.0.0.1", 0, backlog=backlog)
        server._listeners[0].stop()
        socks = [call(server.sockets[0].getsockname()) for _ in range(20)]
        await asyncio.sleep(0.02)
        established = 0
        for sock in socks:
            try:
                sock.getpeername()
                established += 1
            except OSError:
                pass
            sock.close()
        refused[backlog] = 20 - established
        server.close()
    assert refused[50] == 0 < refused[1]


async def test_options_through_serve(loop_factory: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        await serve(handler, "127.0.0.1", 0, engine="epoll", nonsense=1)
    with pytest.raises(TypeError):
        await unix_serve(handler, str(tmp_path / "s"), engine="epoll", nonsense=1)
    async with serve(handler, ["127.0.0.1", "127.0.0.2"], 0, reuse_port=True) as server:
        assert sorted(each.getsockname()[0] for each in server.sockets) == [
            "127.0.0.1", "127.0.0.2",
        ]  # fmt: skip
    server = await serve(handler, "127.0.0.1", 0, start_serving=False, ssl=None)
    assert not server.is_serving()
    server.close()
    await server.wait_closed()
