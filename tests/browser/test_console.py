"""The console of ``duologue run --devconsole``: everything that it offers."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
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
        assert await page.input_value("#kind") == "json"
        await page.press("#message", "ArrowDown")
        assert await page.input_value("#message") == "00 ff 0a"
        assert await page.input_value("#kind") == "binary"
        await said(page, "#counts", "sent 3 (")
        assert await page.locator("li.received small", has_text="ms after sending").count() == 3
        assert await violations(shown) == []
        await page.click("#toggle")
        await said(page, "li.disconnect", "code 1000")
        await page.click("#clear")
        assert await page.locator("#log li").count() == 0


async def test_what_it_is_told_stays_text(browser: Any) -> None:
    async with serving() as home, tab(browser, home) as shown:
        page = shown.page
        await page.goto(home)
        await page.click("#toggle")
        await said(page, "li.connect", "ws:")
        await page.fill("#message", "two")
        await page.press("#message", "Shift+Enter")
        await page.keyboard.insert_text("<img src=x onerror=alert(1)>")
        await page.press("#message", "Enter")
        await said(page, "li.received", "two")
        await said(page, "li.received", "<img src=x onerror=alert(1)>")
        assert await page.locator("#log img").count() == 0
        await send(page, "x" * 5000 + "end")
        more = page.locator("li.received button")
        await more.wait_for()
        assert await page.locator("li.received", has_text="xend").count() == 0
        await more.click()
        await said(page, "li.received", "xend")
        async with page.expect_download() as saving:
            await page.click("#save")
        saved = (await (await saving.value).path()).read_text()
        assert "↑ sent text 5003 B" in saved and "<img" in saved
        await page.click("#toggle")
        await said(page, "li.disconnect", "code 1000")
        await page.fill("#url", "ws://a.example/")
        await page.click("#toggle")
        await said(page, "li.problem", "to no other")
        await said(page, "#toggle", "Connect")
        await page.emulate_media(color_scheme="dark")
        assert await violations(shown) == []


async def test_octets(browser: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\x00\x01of a file")
    async with serving(binary=True) as home, tab(browser, home) as shown:
        page = shown.page
        await page.goto(home)
        await page.click("#toggle")
        await said(page, "li.connect", "ws:")
        await send(page, "00ff 0a", "binary")
        await said(page, "li.received", "00 ff 0a")
        await page.uncheck("#hex")
        await page.select_option("#kind", "file")
        await page.click("#send")
        await said(page, "li.problem", "choose a file")
        await page.set_input_files("#file", tmp_path / "file")
        await page.click("#send")
        await said(page, "li.sent", "file 11 B")
        await said(page, "li.received", "of a file")
