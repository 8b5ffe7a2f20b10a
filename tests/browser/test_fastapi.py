"""A real browser and a FastAPI application, page and WebSocket, on our ASGI host."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import HTMLResponse

import duologue.asgi

from .chromium import tab

pytestmark = [pytest.mark.needs_chromium, pytest.mark.filterwarnings("default")]

PAGE = "<!doctype html><link rel=icon href='data:,'><title>talk</title><p>loaded</p>"
# Says what it is told, is answered by JSON, and ends; gives what a page sees of all that.
TALK = """async ([path, texts]) => {
  const ws = new WebSocket(`ws://${location.host}${path}`, ["v2", "v1"]);
  const seen = [];
  const closed = new Promise((resolve) => (ws.onclose = resolve));
  await new Promise((resolve) => (ws.onopen = resolve));
  seen.push(ws.protocol, ws.extensions.split(";")[0]);
  for (const text of texts) {
    const answer = new Promise((resolve) => (ws.onmessage = resolve));
    ws.send(text);
    seen.push(JSON.parse((await answer).data));
  }
  ws.close(4001, "enough");
  const { code, reason, wasClean } = await closed;
  const refused = await new Promise((resolve) => {
    new WebSocket(`ws://${location.host}/none`).onclose = ({ code }) => resolve(code);
  });
  const posted = await fetch("/length", { method: "POST", body: "x".repeat(100000) });
  return [...seen, [code, reason, wasClean], refused, await posted.json()];
}"""


def application(ended: list[tuple[int, str]]) -> Any:
    app = FastAPI()

    @app.get("/")
    async def index() -> HTMLResponse:
        return HTMLResponse(PAGE)

    @app.post("/length")
    async def length(request: Request) -> int:
        return len(await request.body())

    @app.websocket("/talk/{number}")
    async def talk(ws: WebSocket, number: int) -> None:
        await ws.accept(subprotocol="v1")
        try:
            while True:
                await ws.send_json({"number": number, "said": await ws.receive_text()})
        except WebSocketDisconnect as exc:
            ended.append((exc.code, exc.reason))

    return app


async def test_page_and_websocket(browser: Any) -> None:
    ended: list[tuple[int, str]] = []
    async with duologue.asgi.serve(application(ended), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with tab(browser, f"http://127.0.0.1:{port}/") as shown:
            assert await shown.page.text_content("p") == "loaded"
            texts = ["hi", "κόσμε", "x" * 200_000]
            seen = await shown.page.evaluate(TALK, ["/talk/7", texts])
    assert seen == [
        "v1",
        "permessage-deflate",
        *({"number": 7, "said": text} for text in texts),
        [4001, "enough", True],
        1006,
        100_000,
    ]
    assert ended == [(4001, "enough")]
