"""The rules as an application applies them: answers, log lines, and what counts until when."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from duologue import Endpoint, Limits, Rate
from duologue.app.application import App
from duologue.exceptions import InvalidStatus

from .serving import PATIENCE, ending_of, handshake, handshake_request, reach, serving


def echo_app(**options: Any) -> App:
    app = App(**options)

    @app.websocket("/")
    async def echo(ws: Any) -> None:
        async for message in ws:
            await ws.send(message)

    return app


async def refused(address: str, path: str = "/", **options: Any) -> int:
    with pytest.raises(InvalidStatus) as raised:
        await reach(address, path, **options)
    return raised.value.response.status_code


async def admitted(address: str, path: str = "/", **options: Any) -> Any:
    """Connect as soon as there is room: the server learns of an end a little after the client."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await reach(address, path, **options)
            except InvalidStatus:
                await asyncio.sleep(0.01)


async def test_origins(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(echo_app()) as address:
        for origin in (f"http://{address}", None):
            async with reach(address, origin=origin) as ws:
                await ws.send("hello")
                assert await ws.recv() == "hello"
        for origin in ("https://evil.example", "null"):
            status, answer = await handshake(address, "/", f"Origin: {origin}")
            assert status == 403
            # The peer learns neither rule nor setting.
            assert answer.partition("\r\n\r\n")[2] in ("", "Forbidden.\n")
            assert "origin" not in answer.lower()
    assert [message for name, _, message in caplog.record_tuples if name == "duologue.app"] == [
        f"refused 127.0.0.1 with 403: origin '{origin}' is foreign to http://{address}; "
        f"to allow it, add origins=['{origin}'] to App()"
        for origin in ("https://evil.example", "null")
    ]


async def test_origins_of_a_route() -> None:
    app = App(origins=["https://a.example"])

    @app.websocket("/open", origins="*")
    @app.websocket("/")
    async def handler(ws: Any) -> None:
        await ws.recv()

    async with serving(app) as address:
        assert await refused(address, origin="https://b.example") == 403
        for path, origin in (("/", "https://a.example"), ("/open", "null")):
            async with reach(address, path, origin=origin):
                pass


async def test_hosts() -> None:
    app = echo_app(allowed_hosts=["127.0.0.1"])

    @app.get("/page")
    async def page(request: Any) -> str:
        return "page"

    async with serving(app) as address:
        async with reach(address):
            pass
        headers = {"Host": "evil.example"}
        assert await refused(address, additional_headers=headers) == 403
        assert await refused(address, "/page", additional_headers=headers) == 403


async def test_a_name_that_was_made_to_point_here() -> None:
    async with serving(echo_app()) as address:
        headers = {"Host": "evil.example", "Origin": "http://evil.example"}
        assert await refused(address, additional_headers=headers) == 403
    async with serving(echo_app(allowed_hosts=["evil.example"])) as address:
        async with reach(address, additional_headers=headers):
            pass


async def test_connections_in_all(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(echo_app(max_connections=2)) as address:
        first, second = await reach(address), await reach(address)
        status, answer = await handshake(address)
        assert status == 503
        assert "\r\nRetry-After: 1\r\n" in answer
        await first.close()
        third = await admitted(address)
        assert await refused(address) == 503
        # A connection that breaks off counts no longer either.
        second.transport.abort()
        await (await admitted(address)).close()
        await third.close()
    assert "raise max_connections=2 of App()" in caplog.text


async def test_connections_of_an_endpoint() -> None:
    app = App()

    @app.websocket("/", max_connections_per_client=1)
    class Silent(Endpoint): ...

    async with serving(app) as address:
        for _ in range(3):
            ws = await admitted(address)
            assert await refused(address) == 429
            await ws.close()


async def test_handlers_that_fail_leave_nothing_behind() -> None:
    app = App(max_connections=1)

    @app.websocket("/")
    async def handler(ws: Any) -> None:
        raise LookupError("on purpose")

    async with serving(app) as address:
        for _ in range(3):
            assert await ending_of(await admitted(address)) == (1011, "")


async def test_refused_handshakes_leave_nothing_behind() -> None:
    async with serving(echo_app(max_connections=1)) as address:
        for _ in range(3):
            # Let in by the rules, but the handshake is wrong.
            status, _ = await handshake(address, "/", "Sec-WebSocket-Protocol: ,,,;")
            assert status == 400
        await (await admitted(address)).close()


async def test_forwarded_clients_are_told_apart() -> None:
    async with serving(echo_app(max_connections_per_client=1)) as address:
        one = {"X-Forwarded-For": "203.0.113.1"}
        async with reach(address, additional_headers=one):
            assert await refused(address, additional_headers=one) == 429
            async with reach(address, additional_headers={"X-Forwarded-For": "203.0.113.2"}):
                pass


async def test_connect_rate_and_key() -> None:
    app = echo_app(key="X-Key", connect_rate_per_key=Rate(2, 3600))
    async with serving(app) as address:
        for _ in range(2):
            async with reach(address, additional_headers={"X-Key": "a"}):
                pass
        status, answer = await handshake(address, "/", "X-Key: a")
        assert status == 429
        retry_after = int(answer.partition("\r\nRetry-After: ")[2].partition("\r\n")[0])
        assert 1700 < retry_after <= 1800
        async with reach(address, additional_headers={"X-Key": "b"}):
            pass


async def flood(address: str, path: str) -> tuple[int | None, str | None, int]:
    """Send ten messages; returns how the connection ended, and how many came back."""
    count = 0
    async with reach(address, path) as ws:
        for number in range(10):
            _ = ws.send(str(number))
        while count < 10:
            try:
                assert await ws.recv() == str(count)
            except Exception:
                break
            count += 1
        return ws.close_code, ws.close_reason, count


async def test_rates_of_messages_of_an_application_and_of_a_route(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = App(message_rate=Rate(3, 3600))

    async def echo(ws: Any) -> None:
        async for message in ws:
            await ws.send(message)

    app.websocket("/")(echo)
    app.websocket("/more", message_rate=Rate(7, 3600))(echo)
    app.websocket("/any", message_rate=None)(echo)
    app.websocket("/limits", limits=Limits(octet_rate=Rate(30, 3600)))(echo)
    with caplog.at_level(logging.INFO, "duologue.app"):
        async with serving(app) as address:
            assert await flood(address, "/") == (1008, "too many messages", 3)
            assert await flood(address, "/more") == (1008, "too many messages", 7)
            assert (await flood(address, "/any"))[2] == 10
            async with reach(address, "/limits") as ws:
                _ = ws.send("x" * 50)
                assert await ending_of(ws) == (1008, "too many octets")
    assert "faster than 3/3600 s, 3 at once (setting: message_rate)" in caplog.text
    assert "faster than 30/3600 s, 30 at once (setting: octet_rate)" in caplog.text


async def test_who_says_nothing() -> None:
    app = App()

    @app.websocket("/", idle_timeout=0.05)
    async def handler(ws: Any) -> None:
        await ws.recv()

    async with serving(app) as address, reach(address) as ws:
        assert await ending_of(ws) == (1008, "no message for too long")


async def misbehave(address: str, how: int) -> None:
    """Break one rule or another, or just go."""
    host, port = address.split(":")
    if how == 0:
        assert (await handshake(address, "/", "Origin: https://evil.example"))[0] == 403
    elif how == 1:
        # Half a request.
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(handshake_request(address)[:60])
        await writer.drain()
        writer.transport.abort()
    elif how == 2:
        # A whole one, whose answer nobody waits for.
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(handshake_request(address))
        await writer.drain()
        writer.transport.abort()
    elif how == 3:
        ws = await reach(address, "/hostile")
        for _ in range(50):
            _ = ws.send("x" * 100)
        assert (await ending_of(ws))[0] == 1008
    else:
        ws = await reach(address, "/hostile")
        ws.transport.abort()


async def test_nothing_is_lost_for_others_and_nothing_stays() -> None:
    app = echo_app(
        max_connections=1000,
        max_connections_per_client=1000,
        connect_rate_per_client=Rate(10_000),
        key=lambda request: request.path,
        max_connections_per_key=1000,
    )

    @app.websocket("/hostile", message_rate=Rate(5, 3600), max_connections=900)
    async def hostile(ws: Any) -> None:
        async for _ in ws:
            pass

    async def converse(address: str, name: int) -> None:
        async with reach(address) as ws:
            for number in range(40):
                await ws.send(f"{name}.{number}")
                assert await ws.recv() == f"{name}.{number}"
                await asyncio.sleep(0)

    async with serving(app) as address:
        async with asyncio.timeout(2 * PATIENCE), asyncio.TaskGroup() as group:
            for number in range(10):
                group.create_task(converse(address, number))
            for number in range(100):
                group.create_task(misbehave(address, number % 5))
        quotas = [quota for quota in app.guard._quotas if quota is not None]
        assert len(quotas) == 3
        async with asyncio.timeout(PATIENCE):
            while any(quota.open for quota in quotas):
                await asyncio.sleep(0.01)
