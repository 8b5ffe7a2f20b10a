"""The console of ``duologue run --devconsole``: everything that it offers."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from duologue.frontends.websocketd import Config, Log
from duologue.frontends.websocketd.serving import open_servers
from duologue.frontends.websocketd.site import Site

from .chromium import tab
from .test_demo_access import violations

SILENT = Log("none", print)

pytestmark = pytest.mark.needs_chromium


@contextlib.asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[str]:
    site = Site(Config(command=("/bin/cat",), dev_console=True, port=0, **options), SILENT)
    async with contextlib.AsyncExitStack() as stack:
        (server,) = await open_servers(site.config, site, stack)
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    await site.close()


async def said(page: Any, selector: str, text: str) -> None:
    await page.locator(selector, has_text=text).first.wait_for()


async def send(page: Any, text: str, kind: str = "text") -> None:
    await page.select_option("#kind", kind)
    await page.fill("#message", text)
    await page.press("#message", "Enter")


async def test_a_visit(browser: Any) -> None:
    async with serving() as home, tab(browser, home) as shown:
        page = shown.page
        await page.goto(f"{home}/some/path?query")
        expected = home.replace("http", "ws") + "/some/path?query"
        assert await page.input_value("#url") == expected
        await page.click("#toggle")
        await said(page, "li.connect", expected)
        await send(page, "hello")
        await said(page, "li.sent", "hello")
        await said(page, "li.received", "hello")
        await send(page, '{"a": [1, 2]}', "json")
        await said(page, "li.received", '"a": [\n')
        await send(page, "no json", "json")
        await said(page, "li.problem", "JSON")
        await send(page, "00 ff 0a", "binary")
        await said(page, "li.received", "\ufffd")
        await page.press("#message", "ArrowUp")
        await page.press("#message", "ArrowUp")
        assert await page.input_value("#message") == '{"a": [1, 2]}'
        await page.press("#message", "ArrowDown")
        assert await page.input_value("#message") == "00 ff 0a"
        await said(page, "#counts", "sent 3 (")
        assert await violations(shown) == []
        await page.click("#toggle")
        await said(page, "li.disconnect", "code 1000")
        await page.click("#clear")
        assert await page.locator("#log li").count() == 0


async def test_octets(browser: Any) -> None:
    async with serving(binary=True) as home, tab(browser, home) as shown:
        await shown.page.goto(home)
        await shown.page.check("#hex")
        await shown.page.click("#toggle")
        await said(shown.page, "li.connect", "ws:")
        await send(shown.page, "00ff 0a", "binary")
        await said(shown.page, "li.received", "00 ff 0a")
