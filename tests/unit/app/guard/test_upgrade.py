from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from duologue import Endpoint
from duologue.app.application import App
from duologue.app.errors import HTTPError
from duologue.app.guard import UpgradeRequest
from duologue.exceptions import ClientDisconnected, InvalidState, InvalidStatus

from .serving import PATIENCE, ending_of, handshake, handshake_request, reach, serving


def app_with(on_request: Any, **options: Any) -> App:
    app = App()

    @app.websocket("/{rest:path}", on_request=on_request, **options)
    async def handler(ws: Any) -> None:
        await ws.send(repr(ws.user_data))
        async for message in ws:
            await ws.send(message)

    return app


async def test_accept() -> None:
    async def on_request(request: UpgradeRequest) -> None:
        assert request.subprotocols == ["chat.v1", "Chat.V2"]
        assert request.origin is None
        assert not request.decided
        ws = await request.accept("CHAT.v2", [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")], "ada")
        assert request.decided
        assert request.connection is ws
        assert ws.user_data == "ada"

    async with serving(app_with(on_request)) as address:
        async with reach(address, subprotocols=["chat.v1", "Chat.V2"]) as ws:
            assert ws.subprotocol == "Chat.V2"
            assert ws.response is not None
            assert ws.response.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
            assert await ws.recv() == "'ada'"
            await ws.send("hello")
            assert await ws.recv() == "hello"


async def test_who_does_nothing_lets_the_request_pass() -> None:
    seen = []
    app = app_with(lambda request: seen.append(request.path), subprotocols=["b", "a"])
    async with serving(app) as address:
        async with reach(address, "/x%20y", subprotocols=["a", "b"]) as ws:
            assert ws.subprotocol == "a"
            assert await ws.recv() == "None"
    assert seen == ["/x y"]


async def test_a_subprotocol_that_was_not_offered() -> None:
    async def on_request(request: UpgradeRequest) -> None:
        with pytest.raises(ValueError, match="didn't offer 'b'; it offered a"):
            await request.accept("b")
        assert request.answered

    async with serving(app_with(on_request)) as address:
        status, _ = await handshake(address, "/", "Sec-WebSocket-Protocol: a")
        assert status == 500


async def test_reject() -> None:
    async def on_request(request: UpgradeRequest) -> None:
        await request.reject()
        assert request.answered

    async with serving(app_with(on_request)) as address:
        status, answer = await handshake(address)
        assert status == 403
        assert answer.startswith("HTTP/1.1 403 Forbidden\r\n")
        assert "\r\nConnection: close\r\n" in answer
        assert "\r\nContent-Length: 0\r\n" in answer
        assert "X-WebSocket-Reject-Reason" not in answer


async def test_reject_with_everything() -> None:
    async def on_request(request: UpgradeRequest) -> None:
        headers = [("Retry-After", "7")]
        await request.reject(503, "tō\r\nSet-Cookie: evil=1", headers, b"later")

    async with serving(app_with(on_request)) as address:
        status, answer = await handshake(address)
        head, _, body = answer.partition("\r\n\r\n")
        assert status == 503
        assert "Retry-After: 7" in head.split("\r\n")
        assert "X-WebSocket-Reject-Reason: t? Set-Cookie: evil=1" in head.split("\r\n")
        assert body == "later"


async def test_the_reason_is_the_body_too() -> None:
    async with serving(app_with(lambda request: request.reject(404, "no such room"))) as address:
        status, answer = await handshake(address)
        assert (status, answer.partition("\r\n\r\n")[2]) == (404, "no such room\n")


async def test_reject_by_redirect() -> None:
    def on_request(request: UpgradeRequest) -> Any:
        if request.path == "/old":
            return request.reject(308, headers={"Location": "/new"})
        return request.accept(user_data=request.path)

    async with serving(app_with(on_request)) as address, reach(address, "/old") as ws:
        assert await ws.recv() == "'/new'"


@pytest.mark.parametrize("subprotocols", [None, ["x", "y"]])
async def test_accept_and_close(subprotocols: Any) -> None:
    async def on_request(request: UpgradeRequest) -> None:
        await request.reject(403, "ü" * 100, close_code=4403)
        assert request.answered
        assert request.connection is None

    async with serving(app_with(on_request)) as address:
        async with reach(address, subprotocols=subprotocols) as ws:
            # Browsers want an answer to what they offer.
            assert ws.subprotocol == (subprotocols and "x")
            assert await ending_of(ws) == (4403, "ü" * 61)


async def test_accept_and_close_on_the_way_to_an_endpoint() -> None:
    opened: list[str] = []

    class Never(Endpoint):
        def on_open(self, ws: Any) -> None:
            opened.append(ws.request.path)

    app = App()

    @app.websocket("/", on_request=lambda request: request.reject(close_code=4000))
    class Other(Never): ...

    async with serving(app) as address, reach(address) as ws:
        assert await ending_of(ws) == (4000, "")
    assert opened == []


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"status": 200}, "from 300 to 599"),
        ({"status": 101}, "from 300 to 599"),
        ({"close_code": 1005}, "1005 can't be sent"),
        ({"close_code": 5000}, "5000 can't be sent"),
    ],
)
async def test_impossible_refusals(arguments: Any, text: str) -> None:
    async def on_request(request: UpgradeRequest) -> None:
        with pytest.raises(ValueError, match=text):
            await request.reject(**arguments)
        assert not request.decided
        await request.reject(418)

    async with serving(app_with(on_request)) as address:
        assert (await handshake(address))[0] == 418


async def test_a_request_is_decided_once() -> None:
    async def on_request(request: UpgradeRequest) -> None:
        await (request.accept() if request.path == "/yes" else request.reject())
        for again in (request.accept, request.reject):
            with pytest.raises(InvalidState):
                await again()

    async with serving(app_with(on_request)) as address:
        async with reach(address, "/yes") as ws:
            assert await ws.recv() == "None"
        assert (await handshake(address, "/no"))[0] == 403


async def test_a_handshake_that_is_wrong() -> None:
    accepted = []

    async def on_request(request: UpgradeRequest) -> None:
        await request.accept()
        accepted.append(request)

    async with serving(app_with(on_request)) as address:
        wrong = handshake_request(address).replace(b"Version: 13", b"Version: 12")
        host, port = address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(wrong)
        async with asyncio.timeout(PATIENCE):
            answer = await reader.readuntil(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        assert answer.startswith(b"HTTP/1.1 426 ")
        assert b"\r\nSec-WebSocket-Version: 13\r\n" in answer
    assert accepted == []


async def test_what_is_raised() -> None:
    def on_request(request: UpgradeRequest) -> None:
        if request.path == "/error":
            raise HTTPError(402, "pay first", {"X-Price": "1"})
        raise RuntimeError(request.path)

    async with serving(app_with(on_request)) as address:
        status, answer = await handshake(address, "/error")
        assert status == 402
        assert "\r\nX-Price: 1\r\n" in answer
        assert answer.endswith("pay first\n")
        assert (await handshake(address, "/failure"))[0] == 500


# -- later


async def test_a_decision_that_comes_later() -> None:
    waiting: asyncio.Queue[UpgradeRequest] = asyncio.Queue()

    def on_request(request: UpgradeRequest) -> None:
        request.defer()
        waiting.put_nowait(request)

    async with serving(app_with(on_request)) as address:
        one = asyncio.create_task(reach(address, "/yes").__aenter__())
        two = asyncio.create_task(handshake(address, "/no"))
        requests = {}
        for _ in range(2):
            async with asyncio.timeout(PATIENCE):
                request = await waiting.get()
            requests[request.path] = request
        assert not one.done()
        await requests["/no"].reject(401)
        assert (await two)[0] == 401
        accepted = await requests["/yes"].accept(user_data=7)
        ws = await one
        assert await ws.recv() == "7"
        # Both have it: who accepted and the route's handler.
        await accepted.send("from elsewhere")
        assert await ws.recv() == "from elsewhere"
        await ws.close()


@pytest.mark.parametrize("how", ["defer", "hang", "route"])
async def test_a_decision_that_does_not_come(how: str, caplog: pytest.LogCaptureFixture) -> None:
    async def on_request(request: UpgradeRequest) -> None:
        if how == "defer":
            request.defer(0.05)
        elif how == "route":
            request.defer()
        else:
            await asyncio.Event().wait()

    app = app_with(on_request, open_timeout=10 if how == "defer" else 0.05)
    with caplog.at_level(logging.ERROR, "duologue.app"):
        async with serving(app) as address:
            assert (await handshake(address))[0] == 503
    assert "within 0.05 seconds" in caplog.text
    assert "raise open_timeout or call defer(timeout)" in caplog.text


async def test_a_client_that_goes_before_the_decision() -> None:
    waiting: asyncio.Queue[UpgradeRequest] = asyncio.Queue()

    def on_request(request: UpgradeRequest) -> None:
        request.defer(None)
        waiting.put_nowait(request)

    async with serving(app_with(on_request, max_connections=1)) as address:
        task = asyncio.create_task(handshake(address))
        async with asyncio.timeout(PATIENCE):
            request = await waiting.get()
            task.cancel()
            while not request.decided:
                await asyncio.sleep(0.001)
        with pytest.raises(InvalidState):
            await request.accept()
        # It counts no more.
        task = asyncio.create_task(handshake(address))
        async with asyncio.timeout(PATIENCE):
            request = await waiting.get()
        await request.reject(410)
        assert (await task)[0] == 410


async def test_a_client_that_goes_while_it_is_decided() -> None:
    outcome: asyncio.Queue[Any] = asyncio.Queue()

    async def on_request(request: UpgradeRequest) -> None:
        await request.exchange.disconnected
        try:
            await request.accept()
        except ClientDisconnected as exc:
            outcome.put_nowait(exc)
            raise

    async with serving(app_with(on_request)) as address:
        host, port = address.split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(handshake_request(address))
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        async with asyncio.timeout(PATIENCE):
            assert isinstance(await outcome.get(), ClientDisconnected)


async def test_a_refusal_reaches_our_client() -> None:
    async with serving(app_with(lambda request: request.reject(451, "why"))) as address:
        with pytest.raises(InvalidStatus) as raised:
            await reach(address)
        response = raised.value.response
        assert (response.status_code, response.body) == (451, b"why\n")
        assert response.headers["X-WebSocket-Reject-Reason"] == "why"
