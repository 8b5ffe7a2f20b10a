"""What a page and our server say to each other, and on which terms."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest

from .chromium import PATIENCE, tab
from .serving import Echo, page, site
from .subject import Request, Response

pytestmark = pytest.mark.needs_chromium

UNICODE = "κόσμε – 对话 – 👩‍👩‍👧 – e\u0301 – \U0010ffff – \ufeff"

# Sends a message, waits for the next one, and describes it in terms JSON can carry.
EXCHANGE = """
async ([message, binaryType]) => {
  ws.binaryType = binaryType;
  const answer = new Promise((resolve) => (ws.onmessage = ({ data }) => resolve(data)));
  ws.send(Array.isArray(message) ? new Uint8Array(message) : message);
  const data = await answer;
  if (typeof data === "string") return ["string", data];
  const buffer = data instanceof Blob ? await data.arrayBuffer() : data;
  return [data.constructor.name, Array.from(new Uint8Array(buffer))];
}
"""


@pytest.mark.parametrize("compression", ["deflate", None])
async def test_text_and_binary_are_echoed(browser: Any, compression: str | None) -> None:
    echo = Echo()
    texts = ["", "plain", UNICODE, "long " * 30_000]
    binaries = [b"", bytes(range(256)), b"\x00" * 5_000]
    async with site(echo, compression=compression) as port:
        async with tab(browser, f"http://127.0.0.1:{port}/empty.html") as shown:
            await shown.dial(f"ws://127.0.0.1:{port}/")
            await shown.opened()
            for text in texts:
                assert await shown.page.evaluate(EXCHANGE, [text, "blob"]) == ["string", text]
            for kind, name in (("blob", "Blob"), ("arraybuffer", "ArrayBuffer")):
                for binary in binaries:
                    answer = await shown.page.evaluate(EXCHANGE, [list(binary), kind])
                    assert answer == [name, list(binary)]
    assert echo.received == [*texts, *binaries, *binaries]


@pytest.mark.parametrize("compression", ["deflate", None])
async def test_ten_megabytes_come_back_unharmed(browser: Any, compression: str | None) -> None:
    echo = Echo()
    async with site(echo, compression=compression) as port:
        async with tab(browser, f"http://127.0.0.1:{port}/empty.html") as shown:
            await shown.dial(f"ws://127.0.0.1:{port}/")
            await shown.opened()
            sent, received, size = await shown.page.evaluate(
                """async () => {
                    const hex = async (buffer) =>
                      [...new Uint8Array(await crypto.subtle.digest("SHA-256", buffer))]
                        .map((octet) => octet.toString(16).padStart(2, "0")).join("");
                    const data = new Uint8Array(10_000_000);
                    for (let start = 0; start < data.length; start += 65536)
                      crypto.getRandomValues(data.subarray(start, start + 65536));
                    ws.binaryType = "arraybuffer";
                    const answer = new Promise((done) => (ws.onmessage = (e) => done(e.data)));
                    ws.send(data);
                    const echoed = await answer;
                    return [await hex(data), await hex(echoed), echoed.byteLength];
                }"""
            )
    assert size == 10_000_000
    assert sent == received
    (message,) = echo.received
    assert isinstance(message, bytes)
    assert hashlib.sha256(message).hexdigest() == sent


@pytest.mark.parametrize(("compression", "agreed"), [("deflate", "permessage-deflate"), (None, "")])
async def test_extension_is_what_the_server_allows(
    browser: Any, compression: str | None, agreed: str
) -> None:
    async with site(Echo(), compression=compression) as port:
        async with tab(browser, f"http://127.0.0.1:{port}/empty.html") as shown:
            await shown.dial(f"ws://127.0.0.1:{port}/")
            await shown.opened()
            extensions = await shown.page.evaluate("ws.extensions")
    assert extensions.partition(";")[0] == agreed


async def test_server_may_speak_first_in_fragments_and_pings_stay_invisible(browser: Any) -> None:
    answered: list[float] = []

    async def handler(connection: Any) -> None:
        await connection.send(["Hel", "lo, ", "對", "話"])
        answered.append(await (await connection.ping()))
        await connection.send([b"\x01" * 70_000, b"\x02"])
        await connection.wait_closed()

    async with site(handler) as port:
        async with tab(browser, f"http://127.0.0.1:{port}/empty.html") as shown:
            received = await shown.page.evaluate(
                """(url) => new Promise((resolve) => {
                    const ws = new WebSocket(url);
                    const seen = [];
                    ws.onmessage = ({ data }) => {
                      seen.push(data.size ?? data);
                      if (seen.length === 2) resolve(seen);
                    };
                })""",
                f"ws://127.0.0.1:{port}/",
            )
            assert received == ["Hello, 對話", 70_001]
            assert shown.event_types() == ["open", "message", "message"]
    assert len(answered) == 1
    assert 0 < answered[0] < PATIENCE


async def test_both_talk_at_once_and_order_is_kept(browser: Any) -> None:
    received: asyncio.Queue[Any] = asyncio.Queue()
    count = 1000

    async def handler(connection: Any) -> None:
        async def talk() -> None:
            for number in range(count):
                await connection.send(f"{number}")

        async with asyncio.TaskGroup() as group:
            group.create_task(talk())
            async for message in connection:
                received.put_nowait(message)

    async with site(handler) as port:
        async with tab(browser, f"http://127.0.0.1:{port}/empty.html") as shown:
            seen = await shown.page.evaluate(
                """([url, count]) => new Promise((resolve) => {
                    const ws = new WebSocket(url);
                    const seen = [];
                    ws.onopen = () => {
                      for (let number = 0; number < count; number++) ws.send(`${number}`);
                    };
                    ws.onmessage = ({ data }) => {
                      seen.push(data);
                      if (seen.length === count) resolve(seen);
                    };
                })""",
                [f"ws://127.0.0.1:{port}/", count],
            )
            expected = [f"{number}" for number in range(count)]
            assert seen == expected
            async with asyncio.timeout(PATIENCE):
                assert [await received.get() for _ in range(count)] == expected


async def test_subprotocol_is_agreed(browser: Any) -> None:
    async with site(Echo(), subprotocols=["chat.v2", "chat.v1"]) as port:
        async with tab(browser, f"http://127.0.0.1:{port}/empty.html") as shown:
            await shown.dial(f"ws://127.0.0.1:{port}/", ["chat.v1", "chat.v2", "chat.v3"])
            await shown.opened()
            assert await shown.page.evaluate("ws.protocol") == "chat.v2"


async def test_own_origin_may_be_the_only_one(browser: Any) -> None:
    origins: list[str] = []
    async with site(Echo()) as pages, site(Echo(), origins=origins) as port:
        origins.append(f"http://127.0.0.1:{pages}")
        async with tab(browser, f"http://127.0.0.1:{pages}/empty.html") as shown:
            await shown.dial(f"ws://127.0.0.1:{port}/")
            await shown.opened()


async def test_cookie_of_a_plain_answer_comes_with_the_upgrade(browser: Any) -> None:
    cookies: asyncio.Queue[str | None] = asyncio.Queue()

    def with_cookie(connection: Any, request: Request) -> Response | None:
        response = page(connection, request)
        if response is not None:
            response.headers["Set-Cookie"] = "visit=1; Path=/"
        return response

    async def handler(connection: Any) -> None:
        cookies.put_nowait(connection.request.headers.get("Cookie"))

    async with site(handler, process_request=with_cookie) as port:
        async with tab(browser, f"http://127.0.0.1:{port}/empty.html") as shown:
            await shown.dial(f"ws://127.0.0.1:{port}/")
            async with asyncio.timeout(PATIENCE):
                assert await cookies.get() == "visit=1"


async def test_forty_sockets_of_one_page(browser: Any) -> None:
    echo = Echo()
    async with site(echo) as port:
        async with tab(browser, f"http://127.0.0.1:{port}/empty.html") as shown:
            answers = await shown.page.evaluate(
                """(url) => Promise.all(Array.from({ length: 40 }, (_, number) =>
                    new Promise((resolve, reject) => {
                      const ws = new WebSocket(url);
                      ws.onopen = () => ws.send(`${number}`);
                      ws.onmessage = ({ data }) => { ws.close(1000); resolve(data); };
                      ws.onerror = reject;
                    })))""",
                f"ws://127.0.0.1:{port}/",
            )
            assert answers == [f"{number}" for number in range(40)]
    assert sorted(map(int, map(str, echo.received))) == list(range(40))
