"""The tutorials' chat page, unchanged, with the chat of examples/coming_from as its server."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from duologue import connect

from .chromium import Tab, launched, tab
from .serving import Echo, site

pytestmark = pytest.mark.needs_chromium
CHAT = Path(__file__).parents[2] / "examples" / "coming_from" / "nodejs_websocket.py"


async def lines(shown: Tab, count: int) -> list[str]:
    divs = shown.page.locator("div")
    await divs.nth(count - 1).wait_for(state="attached")
    found: list[str] = await divs.all_text_contents()
    return found


async def test_the_chat_in_a_browser(playwright: Any) -> None:
    spec = importlib.util.spec_from_file_location("chat_of_the_tutorials", CHAT)
    assert spec is not None
    assert spec.loader is not None
    chat = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(chat)
    async with (
        site(Echo()) as pages,
        chat.app.serving("127.0.0.1", 0) as server,
    ):
        port = server.sockets[0].getsockname()[1]
        async with (
            launched(playwright, {"localhost:8001": port}) as browser,
            tab(browser, f"http://127.0.0.1:{pages}/chat.html") as shown,
        ):
            assert await lines(shown, 1) == ["user1 come in!"]
            async with connect(f"ws://127.0.0.1:{port}/") as other:
                assert await other.recv() == "user2 come in!"
                await shown.page.fill("#text", "hi")
                await shown.page.click("#send")
                assert await other.recv() == "hi"
                await other.send("hello")
                expected = ["user1 come in!", "user2 come in!", "hi", "hello"]
                assert await lines(shown, 4) == expected
