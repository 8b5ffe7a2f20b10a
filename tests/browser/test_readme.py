"""The page in README.md, opened from a file as its reader would."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from duologue import ServerConnection, serve

README = Path(__file__).parents[2] / "README.md"
pytestmark = pytest.mark.needs_chromium


async def echo(ws: ServerConnection) -> None:
    async for message in ws:
        await ws.send(message)


async def test_page_of_the_readme(browser: Any, tmp_path: Path) -> None:
    [html] = re.findall(r"^```html\n(.*?)^```$", README.read_text("utf-8"), re.M | re.S)
    async with serve(echo, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        path = tmp_path / "page.html"
        path.write_text(html.replace("8000", str(port)), encoding="utf-8")
        page = await browser.new_page()
        try:
            await page.goto(path.as_uri())
            await page.locator("#answer").filter(has_text="hello").wait_for(timeout=15_000)
        finally:
            await page.close()
