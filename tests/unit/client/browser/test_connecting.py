"""How a browser's socket connects: one after the other, and with credentials when asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import duologue
from duologue import WebSocket
from duologue.client.browser.stream import WebSocketStream

Logged = Callable[[WebSocket], list[tuple[Any, ...]]]


class Counting:
    """A server that answers a handshake when it is told to, and counts those that wait."""

    def __init__(self) -> None:
        self.waiting = 0
        self.asked: asyncio.Queue[str] = asyncio.Queue()
        self.answer = asyncio.Semaphore(0)

    async def process_request(self, peer: Any, request: Any) -> Any:
        self.waiting += 1
        self.asked.put_nowait(request.path)
        await self.answer.acquire()
        self.waiting -= 1
        return peer.respond(404, "") if request.path == "/refuse" else None


async def idle(peer: Any) -> None:
    await peer.wait_closed()


async def test_sockets_of_one_server_connect_one_after_the_other() -> None:
    counting = Counting()
    async with duologue.serve(
        idle, "127.0.0.1", 0, process_request=counting.process_request
    ) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        sockets: list[Any] = [WebSocket(f"{url}/1"), WebSocket(f"{url}/refuse")]
        sockets += [WebSocketStream(f"{url}/3"), WebSocket(f"{url}/4")]
        for path in ("/1", "/refuse", "/3", "/4"):
            assert await asyncio.wait_for(counting.asked.get(), 20) == path
            # Time for others to come, if they don't wait for their turn.
            await asyncio.sleep(0.05)
            assert counting.waiting == 1
            if path == "/3":
                # One that gives up leaves its turn to the next.
                sockets[2].close()
            counting.answer.release()
        for socket in (sockets[0], sockets[3]):
            await opened(socket)
            socket.close()
        for socket in (sockets[0], sockets[1], sockets[3]):
            await socket.wait_closed(20)


async def opened(socket: WebSocket) -> None:
    event = asyncio.Event()
    socket.onopen = lambda _: event.set()
    if socket.readyState == 0:
        await asyncio.wait_for(event.wait(), 20)


async def test_sockets_of_two_servers_do_not_wait_for_each_other() -> None:
    counting = Counting()
    async with (
        duologue.serve(idle, "127.0.0.1", 0, process_request=counting.process_request) as slow,
        duologue.serve(idle, "127.0.0.1", 0) as quick,
    ):
        ports = [server.sockets[0].getsockname()[1] for server in (slow, quick)]
        first, second = (WebSocket(f"ws://127.0.0.1:{port}/") for port in ports)
        await opened(second)
        assert first.readyState == 0
        counting.answer.release()
        await opened(first)
        for socket in (first, second):
            socket.close()
            await socket.wait_closed(20)


@pytest.mark.parametrize(
    ("userinfo", "status", "challenge", "expected"),
    [
        ("foo:b%40r@", 401, 'Basic realm="x"', [None, "Basic Zm9vOmJAcg=="]),
        ("foo:b%40r@", 401, "Bearer", [None]),
        ("foo:b%40r@", 403, 'Basic realm="x"', [None]),
        ("", 401, 'Basic realm="x"', [None]),
    ],
)
async def test_credentials_are_sent_when_asked_for(
    userinfo: str, status: int, challenge: str, expected: list[str | None], logged: Logged
) -> None:
    seen: list[str | None] = []

    def ask(peer: Any, request: Any) -> Any:
        seen.append(request.headers.get("Authorization"))
        if len(seen) == 2:
            return None
        response = peer.respond(status, "")
        response.headers["WWW-Authenticate"] = challenge
        return response

    async with duologue.serve(idle, "127.0.0.1", 0, process_request=ask) as server:
        port = server.sockets[0].getsockname()[1]
        ws = WebSocket(f"ws://{userinfo}127.0.0.1:{port}/")
        log = logged(ws)
        ws.addEventListener("open", lambda _: ws.close(3000))
        await ws.wait_closed(20)
    assert seen == expected
    assert log[-1] == ("close", 3, *((3000, "", True) if len(expected) == 2 else (1006, "", False)))


async def test_wrong_credentials_are_sent_once(logged: Logged) -> None:
    seen: list[str | None] = []

    def refuse(peer: Any, request: Any) -> Any:
        seen.append(request.headers.get("Authorization"))
        response = peer.respond(401, "")
        response.headers["WWW-Authenticate"] = "Basic"
        return response

    async with duologue.serve(idle, "127.0.0.1", 0, process_request=refuse) as server:
        ws = WebSocket(f"ws://foo:bar@127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        log = logged(ws)
        await ws.wait_closed(20)
    assert seen == [None, "Basic Zm9vOmJhcg=="]
    assert log == [("error", 3), ("close", 3, 1006, "", False)]
