"""The commands ``duologue demo`` and ``duologue serve``, used with a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trustme

from .chromium import Tab, key_digest, launched, tab
from .command import running
from .serving import Echo, site

pytestmark = pytest.mark.needs_chromium


async def wait_for_text(shown: Tab, selector: str, text: str) -> None:
    await shown.page.locator(selector).filter(has_text=text).wait_for()


async def messages(shown: Tab, count: int) -> list[str]:
    """Wait for this many messages on the chat page and return all there are."""
    lines = shown.page.locator("#messages div")
    await lines.nth(count - 1).wait_for(state="attached")
    found: list[str] = await lines.all_text_contents()
    return found


async def say(shown: Tab, text: str) -> None:
    await shown.page.fill("#text", text)
    await shown.page.click("#send")


async def test_start_page_leads_to_echo_and_chat(browser: Any) -> None:
    async with running("demo") as demo, tab(browser, demo.url) as shown:
        assert "duologue" in await shown.page.title()
        await shown.page.click("main a[href='/echo']")
        await wait_for_text(shown, "#state", "Open")
        await shown.page.go_back()
        await shown.page.click("main a[href='/chat']")
        await wait_for_text(shown, "#state", "Connected")
        assert shown.complaints == []
        assert shown.faults == []


async def test_echo_page(browser: Any) -> None:
    async with running("demo") as demo, tab(browser, f"{demo.url}echo") as shown:
        await shown.logged("websocket open")
        assert await shown.page.text_content("#result") == "Connection server success"
        await say(shown, "你好 <b>bold</b>")
        await shown.logged("websocket open", "你好 <b>bold</b>")
        await wait_for_text(shown, "#result", "你好 <b>bold</b>")  # as text, not as markup
        assert await shown.page.locator("#result b").count() == 0
        await shown.page.fill("#text", "with the keyboard")
        await shown.page.press("#text", "Enter")
        await wait_for_text(shown, "#result", "with the keyboard")
        await shown.page.evaluate("websocket.send('x'.repeat(2 * 1024 * 1024))")
        await shown.received(3)
        assert len(await shown.page.text_content("#result")) == 2 * 1024 * 1024
        await shown.page.evaluate("websocket.send('x'.repeat(16 * 1024 * 1024 + 1))")
        assert (await shown.closed())[::2] == (1009, True)
        await wait_for_text(shown, "#state", "Closed: 1009")
        assert await shown.page.is_disabled("#send")


async def test_chat_page_and_what_the_command_prints(browser: Any) -> None:
    markup = "<img src=x onerror=\"console.log('harm')\">"
    async with running("demo") as demo:
        assert await demo.line() == f"websocket server connection on port {demo.port}"
        async with tab(browser, f"{demo.url}chat") as first:
            assert await messages(first, 1) == ["user1 come in!"]
            async with tab(browser, f"{demo.url}chat") as second:
                assert await messages(second, 1) == ["user2 come in!"]
                await say(first, "hi")
                assert await messages(second, 2) == ["user2 come in!", "hi"]
                await say(second, markup)
                expected = ["user1 come in!", "user2 come in!", "hi", markup]
                assert await messages(first, 4) == expected
                assert await first.page.input_value("#text") == ""
            async with tab(browser, f"{demo.url}chat") as third:
                assert await messages(third, 1) == ["user3 come in!"]
            assert first.console == []
        lines = [await demo.line() for _ in range(8)]
        assert sorted(lines) == sorted(
            ["New connection"] * 3
            + ["Connection closed"] * 3
            + ["Received hi", f"Received {markup}"]
        )


async def test_interrupting_the_demo_tells_every_page(browser: Any) -> None:
    async with running("demo") as demo:
        async with tab(browser, f"{demo.url}chat") as chat, tab(browser, f"{demo.url}echo") as echo:
            await messages(chat, 1)
            await echo.opened()
            assert await demo.interrupt() == 0
            for shown in (chat, echo):
                assert (await shown.closed())[::2] == (1001, True)
                await wait_for_text(shown, "#state", "Closed: 1001")


async def test_the_tutorials_chat_page_meets_the_demos_chat_page(playwright: Any) -> None:
    async with running("demo") as demo, site(Echo()) as pages:
        async with launched(playwright, {"localhost:8001": demo.port}) as browser:
            async with tab(browser, f"{demo.url}chat") as ours:
                assert await messages(ours, 1) == ["user1 come in!"]
                async with tab(browser, f"http://127.0.0.1:{pages}/chat.html") as theirs:
                    await theirs.page.wait_for_selector("div")
                    await say(theirs, "from the tutorial")
                    expected = ["user1 come in!", "user2 come in!", "from the tutorial"]
                    assert await messages(ours, 3) == expected
                    await theirs.page.wait_for_selector("div >> nth=1")
                    divs = await theirs.page.locator("div").all_text_contents()
                    assert divs == ["user2 come in!", "from the tutorial"]
                    assert await demo.interrupt() == 0
                    await theirs.logged("websocket closed")


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        ([], "Hello WebSockets!"),
        (["--greeting", "Request served by duologue"], "Request served by duologue"),
    ],
)
async def test_echo_service_stands_in_for_the_public_one(
    playwright: Any, tmp_path: Path, options: list[str], answer: str
) -> None:
    certificate = trustme.CA().issue_cert("echo.websocket.org")
    pem = tmp_path / "certificate.pem"
    certificate.private_key_and_cert_chain_pem.write_to_path(str(pem))
    secure = ("--ssl-certfile", str(pem), "--quiet")
    async with running("serve", "echo", *secure, *options) as echo, site(Echo()) as pages:
        assert echo.url.startswith("wss://")
        hosts = {"echo.websocket.org:443": echo.port}
        async with launched(playwright, hosts, key_digest(certificate)) as browser:
            async with tab(browser, f"http://127.0.0.1:{pages}/echo-hello.html") as shown:
                await shown.logged(
                    "Connection open ...", f"Received Message: {answer}", "Connection closed."
                )
                assert await shown.closed() == (1005, "", True)


async def test_echo_service_has_a_page_to_try_it(browser: Any) -> None:
    async with running("serve", "echo", "--quiet") as echo:
        async with tab(browser, f"http://127.0.0.1:{echo.port}/any/path") as shown:
            await shown.opened()
            await say(shown, "你好")
            await shown.page.wait_for_selector("#log div >> nth=2")
            lines = await shown.page.locator("#log div").all_text_contents()
            assert lines == ["open", "sent: 你好", "received: 你好"]
