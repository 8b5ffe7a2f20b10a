"""How connections end, told by the browser and by our server."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from .chromium import PATIENCE, tab
from .serving import Echo, site

pytestmark = pytest.mark.needs_chromium

SENDABLE = (1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999)


class Ends:
    """A handler that does what its path says, and tells how connections ended.

    ``/close?code=&reason=`` closes, ``/abort`` drops TCP, ``/raise`` fails; others only wait.
    """

    def __init__(self) -> None:
        self._ends: asyncio.Queue[Any] = asyncio.Queue()

    async def __call__(self, connection: Any) -> None:
        url = urlsplit(connection.request.path)
        query = parse_qs(url.query)
        try:
            if url.path == "/close":
                await connection.close(int(query["code"][0]), query.get("reason", [""])[0])
            elif url.path == "/abort":
                connection.transport.abort()
            elif url.path == "/raise":
                raise RuntimeError("this handler fails")
            await connection.wait_closed()
        finally:
            self._ends.put_nowait(connection)

    async def next(self) -> Any:
        """Wait for a connection to end and return it."""
        async with asyncio.timeout(PATIENCE):
            return await self._ends.get()


@pytest.mark.parametrize("reason", ["", "bécause"])
async def test_every_code_we_send_is_reported(browser: Any, reason: str) -> None:
    ends = Ends()
    async with site(ends) as port:
        async with tab(browser, f"http://127.0.0.1:{port}/empty.html") as shown:
            for index, code in enumerate(SENDABLE):
                query = urlencode({"code": code, "reason": reason})
                await shown.dial(f"ws://127.0.0.1:{port}/close?{query}")
                assert await shown.closed(index) == (code, reason, True)
                assert shown.event_types(index) == ["open", "close"]
                connection = await ends.next()
                # The browser answers with the code it was given.
                assert connection.close_code == code


async def test_the_pages_close_is_mirrored(browser: Any) -> None:
    closes = [
        ("ws.close()", 1005, ""),
        ("ws.close(1000)", 1000, ""),
        ("ws.close(1000, 'Closing normally!')", 1000, "Closing normally!"),
        ("ws.close(3000, 'κόσμε')", 3000, "κόσμε"),
        ("ws.close(4999, 'x'.repeat(123))", 4999, "x" * 123),
    ]
    ends = Ends()
    async with site(ends) as port:
        async with tab(browser, f"http://127.0.0.1:{port}/empty.html") as shown:
            for index, (call, code, reason) in enumerate(closes):
                await shown.dial(f"ws://127.0.0.1:{port}/")
                await shown.opened(index)
                await shown.page.evaluate(call)
                assert await shown.closed(index) == (code, reason, True)
                assert shown.event_types(index) == ["open", "close"]
                connection = await ends.next()
                assert (connection.close_code, connection.close_reason) == (code, reason)


async def test_both_close_at_once(browser: Any) -> None:
    ends = Ends()
    async with site(ends) as port:
        async with tab(browser, f"http://127.0.0.1:{port}/empty.html") as shown:
            await shown.page.evaluate(
                """(url) => {
                    window.ws = new WebSocket(url);
                    ws.onopen = () => ws.close(4001, "page");
                }""",
                f"ws://127.0.0.1:{port}/close?code=4002&reason=server",
            )
            code, reason, clean = await shown.closed()
            assert (code, reason) in ((4001, "page"), (4002, "server"))
            assert clean
            connection = await ends.next()
            assert connection.close_code in (4001, 4002)


async def test_leaving_the_page_is_going_away(browser: Any) -> None:
    ends = Ends()
    async with site(ends) as port:
        async with tab(browser, f"http://127.0.0.1:{port}/empty.html") as shown:
            await shown.dial(f"ws://127.0.0.1:{port}/")
            await shown.opened()
            await shown.page.goto("about:blank")
            assert (await ends.next()).close_code == 1001


async def test_the_server_going_away_says_so(browser: Any) -> None:
    async with site(Ends()) as pages:
        async with tab(browser, f"http://127.0.0.1:{pages}/empty.html") as shown:
            async with site(Ends()) as port:
                await shown.dial(f"ws://127.0.0.1:{port}/")
                await shown.opened()
            assert (await shown.closed())[::2] == (1001, True)


async def test_a_failing_handler_is_an_internal_error(
    browser: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with site(Ends()) as port:
        async with tab(browser, f"http://127.0.0.1:{port}/empty.html") as shown:
            await shown.dial(f"ws://127.0.0.1:{port}/raise")
            assert await shown.closed() == (1011, "", True)
    assert ["this handler fails" in str(record.exc_info) for record in caplog.records] == [True]


async def test_a_message_over_the_limit_is_too_big(browser: Any) -> None:
    echo = Echo()
    async with site(echo, max_size=1000, compression=None) as port:
        async with tab(browser, f"http://127.0.0.1:{port}/empty.html") as shown:
            await shown.dial(f"ws://127.0.0.1:{port}/")
            await shown.opened()
            await shown.page.evaluate("ws.send('x'.repeat(1000)); ws.send('x'.repeat(1001))")
            code, reason, clean = await shown.closed()
            assert (code, clean) == (1009, True)
            assert "1000" in reason and "1001" in reason
    assert echo.received == ["x" * 1000]


async def test_dropped_tcp_is_abnormal(browser: Any) -> None:
    ends = Ends()
    async with site(ends) as port:
        async with tab(browser, f"http://127.0.0.1:{port}/empty.html") as shown:
            await shown.dial(f"ws://127.0.0.1:{port}/abort")
            assert await shown.closed() == (1006, "", False)
            assert shown.event_types()[-1] == "close"
            assert (await ends.next()).close_code == 1006


@pytest.mark.parametrize(
    ("protocols", "options"),
    [
        (["other"], {"subprotocols": ["chat.v1"]}),
        (["other"], {}),
        (None, {"origins": ["https://example.com"]}),
        (None, {"process_request": lambda connection, request: connection.respond(503, "no\n")}),
    ],
    ids=["no common subprotocol", "subprotocol not answered", "foreign origin", "refused"],
)
async def test_refused_handshake_shows_only_the_end(
    browser: Any, protocols: list[str] | None, options: dict[str, Any]
) -> None:
    async with site(Ends()) as pages, site(Ends(), **options) as port:
        async with tab(browser, f"http://127.0.0.1:{pages}/empty.html") as shown:
            await shown.dial(f"ws://127.0.0.1:{port}/", protocols)
            assert await shown.closed() == (1006, "", False)
            assert shown.event_types() == ["error", "close"]
