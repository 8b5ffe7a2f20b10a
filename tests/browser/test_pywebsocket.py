"""A tutorial's page, opened from a file, against the handlers of ``examples/pywebsocket``."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from duologue.frontends.pywebsocket import names
from duologue.frontends.pywebsocket.config import Config
from duologue.frontends.pywebsocket.server import Server, find_handlers

from .chromium import PATIENCE, tab

pytestmark = pytest.mark.needs_chromium

EXAMPLES = Path(__file__).parents[2] / "examples" / "pywebsocket"
STEPS = ["您的浏览器支持 WebSocket!", "数据发送中...", "数据已接收...", "连接已关闭..."]
PAGE = """<!DOCTYPE html>
<meta charset="utf-8">
<script>
  function WebSocketTest() {
    if (!("WebSocket" in window)) return alert("您的浏览器不支持 WebSocket!");
    alert("您的浏览器支持 WebSocket!");
    const ws = new WebSocket("ws://localhost:PORT/echo");
    ws.onopen = () => { ws.send("发送数据"); alert("数据发送中..."); };
    ws.onmessage = (event) => {
      document.title = event.data;
      alert("数据已接收...");
      ws.close();
    };
    ws.onclose = () => alert("连接已关闭...");
  }
</script>
<a href="javascript:WebSocketTest()">运行 WebSocket</a>
"""


@pytest.fixture
def port() -> Iterator[int]:
    """Serves the examples; gives the port."""
    config = Config(hosts=("127.0.0.1",), port=0, handlers=str(EXAMPLES), handler_encoding="utf-8")
    with names.taken():
        server = Server(config, find_handlers(config))
        server.listen()
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.port
        server.shutdown()
        thread.join()


async def test_a_page_runs_through_its_steps(browser: Any, port: int, tmp_path: Path) -> None:
    page = tmp_path / "runoob_websocket.html"
    page.write_text(PAGE.replace("PORT", str(port)), encoding="utf-8")
    async with tab(browser, page.as_uri()) as shown:
        said: list[str] = []

        async def accept_dialog(dialog: Any) -> None:
            said.append(dialog.message)
            await dialog.accept()

        shown.page.on("dialog", accept_dialog)
        await shown.page.get_by_text("运行 WebSocket").click()
        async with asyncio.timeout(PATIENCE):
            while len(said) < len(STEPS):
                await asyncio.sleep(0.005)
        assert said == STEPS
        assert await shown.page.title() == "发送数据"


TALK = """async ({ url, data, code }) => new Promise((resolve) => {
  const ws = new WebSocket(url), found = [];
  ws.binaryType = "arraybuffer";
  ws.onopen = () => data.forEach((each) => ws.send(each));
  ws.onmessage = (event) => {
    found.push(event.data);
    if (code && found.length === data.length) ws.close(code, "so long");
  };
  ws.onclose = (event) => resolve({
    found, code: event.code, reason: event.reason, wasClean: event.wasClean,
    extensions: ws.extensions,
  });
})"""


CASES: list[tuple[str, list[str], int, tuple[list[str], int, str, bool]]] = [
    ("echo", ["a" * 5000, "Goodbye"], 0, (["a" * 5000, "Goodbye"], 1000, "", True)),
    ("echo", ["x"], 4001, (["x"], 1000, "", True)),
    ("close", ["4001 so long"], 0, ([], 4001, "so long", True)),
    ("close", ["- "], 0, ([], 1005, "", True)),
    ("abort", [], 0, ([], 1006, "", False)),
    ("abort_handshake", [], 0, ([], 1006, "", False)),
    ("origin_check", [], 0, ([], 1006, "", False)),
    ("internal_error", [], 0, ([], 1011, "", True)),
    ("hsts", [], 0, (["Hello"], 1000, "", True)),
]


async def test_a_browser_sees_what_handlers_do(browser: Any, port: int, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<title>page</title>")
    async with tab(browser, page.as_uri()) as shown:
        for resource, data, code, expected in CASES:
            url = f"ws://localhost:{port}/{resource}"
            seen = await shown.page.evaluate(TALK, {"url": url, "data": data, "code": code})
            found = (seen["found"], seen["code"], seen["reason"], seen["wasClean"])
            assert found == expected, resource
            if seen["wasClean"]:
                assert seen["extensions"] == "permessage-deflate", resource
