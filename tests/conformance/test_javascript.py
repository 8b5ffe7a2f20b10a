"""Scripts of a page, run by a JavaScript engine whose globals are proxies of the Python classes.

``python -m conformance.run_wpt`` runs the official tests in the same way.
"""

from __future__ import annotations

import asyncio
import json
from http.cookiejar import CookieJar
from typing import Any

import duologue
from conformance.run_wpt import CLASSES
from conformance.wpt.bridge import Cookies, JavaScriptError, Page

SCRIPT = """
const log = [];
const note = (...values) => log.push(values.map(String).join(" "));
const name = (func) => { try { func(); return "none"; } catch (error) { return error.name; } };
(async () => {
  note(name(() => new WebSocket()), name(() => new WebSocket(URL_, ["a", "a"])));
  note(WebSocket.OPEN, WebSocket.prototype.CLOSED, WebSocket.length, typeof WebSocket);
  const ws = new WebSocket(URL_, "chat");
  ws.onopen = "nothing";
  note(ws.readyState, ws.binaryType, ws.onopen, name(() => ws.send("early")));
  const listener = { handleEvent(event) { note("object", this === listener, event.type); } };
  ws.addEventListener("open", listener);
  ws.addEventListener("open", listener);
  ws.addEventListener("message", () => { throw new RangeError("reported"); }, { once: true });
  self.addEventListener("error", (event) => note("uncaught", event.error.name));
  const once = { once: true };
  const next = (type) => new Promise((resolve) => ws.addEventListener(type, resolve, once));
  const opened = await next("open");
  note(opened instanceof Event, opened.isTrusted, opened.target === ws, ws.protocol);
  ws.binaryType = "nonsense";
  ws.onmessage = function (event) {
    note("message", this === ws, event.data, event.origin === ORIGIN);
  };
  ws.send("h\\ud800llo");
  await next("message");
  ws.onmessage = null;
  ws.send(new Uint8Array([0, 1, 255, 2]).subarray(1, 3));
  const blob = (await next("message")).data;
  note(blob instanceof Blob, new Uint8Array(await blob.arrayBuffer()));
  ws.binaryType = "arraybuffer";
  ws.send(blob);
  const data = (await next("message")).data;
  note(data instanceof ArrayBuffer, new Uint8Array(data));
  ws.send("x".repeat(1000));
  note(ws.bufferedAmount, name(() => ws.close(1001)), name(() => ws.close(3000, "é".repeat(62))));
  ws.close(3001, "why");
  const closed = await next("close");
  note(closed.code, closed.reason, closed.wasClean, ws.readyState);

  const wss = new WebSocketStream(URL_, { protocols: ["chat"] });
  const { readable, writable, protocol } = await wss.opened;
  const writer = writable.getWriter();
  writer.write(new Uint8Array([7]));
  const { value, done } = await readable.getReader().read();
  note(protocol, value instanceof Uint8Array, value, done);
  wss.close({ closeCode: 4000, reason: "done" });
  const info = await wss.closed;
  note(info.closeCode, info.reason);
  const error = await new WebSocketStream(REFUSED).opened.catch((error) => error);
  note(error instanceof WebSocketError, error instanceof DOMException, error.name, error.code);
})().catch((error) => note(error, error.stack)).finally(() => { globalThis.ended = true; });
"""

EXPECTED = [
    "TypeError SyntaxError",
    "1 3 1 function",
    "0 blob null InvalidStateError",
    "object true open",
    "true true true chat",
    "uncaught RangeError",
    "message true h\ufffdllo true",
    "true 1,255",
    "true 1,255",
    "1000 InvalidAccessError SyntaxError",
    "3001 why true 3",
    "chat true 7 false",
    "4000 done",
    "true true WebSocketError 0",
]


async def echo(peer: Any) -> None:
    async for message in peer:
        await peer.send(message)


def no_arguments(name: str, args: tuple[Any, ...]) -> dict[str, Any]:
    return {}


def no_script(name: str) -> str:
    raise FileNotFoundError(name)


def report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    exc = context.get("exception")
    assert isinstance(exc, JavaScriptError), context
    exc.page.report(exc)


async def test_a_page() -> None:
    asyncio.get_running_loop().set_exception_handler(report)
    async with duologue.serve(echo, "127.0.0.1", 0, subprotocols=["chat"]) as server:
        origin = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        location = "http://web-platform.test/"
        page = Page(CLASSES, no_arguments, location, Cookies(CookieJar(), location), no_script)
        page.run(f"const URL_ = '{origin}/', ORIGIN = '{origin}', REFUSED = 'ws://127.0.0.1:1/';")
        page.run(SCRIPT)
        page.run_microtasks()
        async with asyncio.timeout(40):
            while not page.run("globalThis.ended === true"):
                await asyncio.sleep(0.01)
        page.close()
        log = json.loads(page.run("JSON.stringify(log)"))
        assert log == EXPECTED
