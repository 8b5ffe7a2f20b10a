"""Pages as tutorials on WebSocket print them, unchanged, against our server.

They name ``echo.websocket.org``, ``localhost:8001`` and the default ports; the browser is told to
find our server there instead.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from .chromium import PATIENCE, Tab, key_digest, launched, tab
from .serving import Echo, site
from .subject import broadcast

pytestmark = pytest.mark.needs_chromium
ECHO = "echo.websocket.org"


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait for something on the server's side that no event announces."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def showing(playwright: Any, name: str, host: str, port: int) -> AsyncIterator[Tab]:
    """Open a page of this folder in a browser to which ``host`` means our server on ``port``."""
    async with launched(playwright, {host: port}) as browser:
        async with tab(browser, f"http://127.0.0.1:{port}/{name}") as shown:
            yield shown


@pytest.fixture(scope="module")
def certificate() -> trustme.LeafCert:
    return trustme.CA().issue_cert(ECHO)


@contextlib.asynccontextmanager
async def secure_site(handler: Any, certificate: trustme.LeafCert) -> AsyncIterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    async with site(handler, ssl=context) as port:
        yield port


@pytest.mark.parametrize(
    ("name", "greeting"),
    [
        ("echo-hello.html", "Connection open ..."),
        ("echo-hello-one-line.html", "Connection open ..."),
        ("echo-hello-chinese.html", "Web Socket 已连接上 ..."),
    ],
)
async def test_hello_over_tls_is_echoed_and_closed(
    playwright: Any, certificate: trustme.LeafCert, name: str, greeting: str
) -> None:
    echo = Echo()
    async with site(echo) as plain, secure_site(echo, certificate) as secure:
        hosts = {f"{ECHO}:443": secure}
        async with launched(playwright, hosts, key_digest(certificate)) as browser:
            async with tab(browser, f"http://127.0.0.1:{plain}/{name}") as shown:
                await shown.logged(
                    greeting, "Received Message: Hello WebSockets!", "Connection closed."
                )
                # The page's close() has no code, so there is none to send back.
                assert await shown.closed() == (1005, "", True)
                assert shown.event_types() == ["open", "message", "close"]
                assert shown.events()[1]["origin"] == f"wss://{ECHO}"
                assert shown.faults == []
    assert echo.received == ["Hello WebSockets!"]
    assert echo.ends == [(1005, "")]


async def test_page_closes_on_a_greeting_if_the_server_has_one(
    playwright: Any, certificate: trustme.LeafCert
) -> None:
    async def greet(connection: Any) -> None:
        await connection.send("Request served by duologue")
        await connection.wait_closed()

    async with site(greet) as plain, secure_site(greet, certificate) as secure:
        hosts = {f"{ECHO}:443": secure}
        async with launched(playwright, hosts, key_digest(certificate)) as browser:
            async with tab(browser, f"http://127.0.0.1:{plain}/echo-hello.html") as shown:
                await shown.logged(
                    "Connection open ...",
                    "Received Message: Request served by duologue",
                    "Connection closed.",
                )


async def test_unknown_certificate_shows_only_the_end(
    playwright: Any, certificate: trustme.LeafCert
) -> None:
    echo = Echo()
    async with site(echo) as plain, secure_site(echo, certificate) as secure:
        async with launched(playwright, {f"{ECHO}:443": secure}) as browser:
            async with tab(browser, f"http://127.0.0.1:{plain}/echo-hello.html") as shown:
                await shown.logged("Connection closed.")
                assert await shown.closed() == (1006, "", False)
                assert shown.event_types() == ["error", "close"]
    assert echo.ends == []


async def test_form_sends_what_was_typed_and_shows_the_echo(playwright: Any) -> None:
    connections: list[Any] = []
    echo = Echo()

    async def handler(connection: Any) -> None:
        connections.append(connection)
        await echo(connection)

    async with site(handler) as port:
        async with showing(playwright, "echo-form.html", f"{ECHO}:80", port) as shown:
            result = shown.page.locator("#result")
            await shown.logged("websocket open")
            assert await result.text_content() == "Connection server success"
            await shown.page.fill("#text", "你好 & hello")
            await shown.page.click("#send")
            await shown.logged("websocket open", "你好 & hello")
            assert await result.text_content() == "你好 & hello"
            assert echo.received == ["你好 & hello"]
            await connections[0].close()
            await shown.logged("websocket open", "你好 & hello", "websocket close")
            assert await shown.closed() == (1000, "", True)
            assert (await shown.page.evaluate("websocket.url")) == f"ws://{ECHO}/"


async def test_chat_page_shows_who_comes_and_what_is_said(playwright: Any) -> None:
    connections: list[Any] = []

    async def chat(connection: Any) -> None:
        connections.append(connection)
        broadcast(connections, f"user{len(connections)} come in!")
        async for text in connection:
            broadcast(connections, text)

    async def lines(shown: Tab, count: int) -> list[str]:
        divs = shown.page.locator("div")
        await divs.nth(count - 1).wait_for(state="attached")
        found: list[str] = await divs.all_text_contents()
        return found

    async with site(chat) as port, launched(playwright, {"localhost:8001": port}) as browser:
        url = f"http://127.0.0.1:{port}/chat.html"
        async with tab(browser, url) as first:
            assert await lines(first, 1) == ["user1 come in!"]
            async with tab(browser, url) as second:
                assert await lines(second, 1) == ["user2 come in!"]
                await first.page.fill("#text", "hi")
                await first.page.click("#send")
                assert await lines(first, 3) == ["user1 come in!", "user2 come in!", "hi"]
                assert await lines(second, 2) == ["user2 come in!", "hi"]
                assert await first.page.input_value("#text") == ""
                await second.page.click("#send")
                assert (await lines(first, 4))[3] == ""
                await connections[1].close()
                await second.logged("websocket closed")
            assert first.console == []


async def test_four_listeners_send_hello(playwright: Any) -> None:
    echo = Echo()
    async with site(echo) as port:
        async with showing(playwright, "steps.html", "localhost:8001", port) as shown:
            await eventually(lambda: echo.received == ["Hello server!"])
            await shown.received(1)
            assert shown.event_types() == ["open", "message"]
            await shown.page.evaluate("socket.close()")
            assert await shown.closed() == (1005, "", True)


async def test_throttle_ticks_and_its_send_without_data_is_refused(playwright: Any) -> None:
    echo = Echo()
    async with site(echo) as port:
        async with showing(playwright, "throttle.html", f"{ECHO}:80", port) as shown:
            await shown.opened()
            (fault,) = await shown.failed(1)
            assert "1 argument required, but only 0 present" in fault
            assert await shown.page.evaluate("ws.readyState === WebSocket.OPEN")
            assert shown.event_types() == ["open"]
            assert echo.received == []


async def test_throttle_sends_once_a_second_while_little_is_buffered(playwright: Any) -> None:
    echo = Echo()
    async with site(echo) as port, launched(playwright, {f"{ECHO}:80": port}) as browser:
        async with tab(browser, "about:blank") as shown:
            await shown.page.clock.install()
            await shown.page.goto(f"http://127.0.0.1:{port}/throttle-with-data.html")
            await shown.opened()
            await shown.page.clock.run_for(3500)
            await eventually(lambda: len(echo.received) >= 3)
            assert set(echo.received) == {"tick"}


async def test_binary_data_from_file_canvas_and_buffer(playwright: Any, tmp_path: Path) -> None:
    echo = Echo()
    chosen = tmp_path / "chosen.bin"
    chosen.write_bytes(bytes(range(256)) * 3)
    async with site(echo) as port:
        async with showing(playwright, "binary.html", "localhost:8080", port) as shown:
            await shown.opened()
            await shown.page.set_input_files("input", str(chosen))
            await shown.page.evaluate("receiveBlobs(); sendFile()")
            await shown.logged("768")
            await shown.page.evaluate("receiveBuffers(); sendCanvas()")
            await shown.logged("768", "512000")
            await shown.page.evaluate("sendLarge()")
            await shown.logged("768", "512000", "not yet sent: 10000000", "10000000")
            await shown.page.wait_for_function("ws.bufferedAmount === 0")
    assert echo.received == [
        chosen.read_bytes(),
        bytes([1, 2, 3, 255]) * (400 * 320),
        bytes(10_000_000),
    ]
