"""Every panel of the demo, used as a visitor would, on a phone and on a desktop."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from duologue.frontends import demo

from .chromium import PATIENCE, Tab, key_digest, launched, tab
from .command import running

pytestmark = pytest.mark.needs_chromium

SIZES = {
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True},
    "desktop": {"viewport": {"width": 1280, "height": 800}},
}
SENDABLE = (1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 4000)


@pytest.fixture(params=SIZES)
def size(request: pytest.FixtureRequest) -> dict[str, Any]:
    """A phone's window and a desktop's."""
    found: dict[str, Any] = SIZES[request.param]
    return found


@contextlib.asynccontextmanager
async def showing(browser: Any, path: str, size: dict[str, Any]) -> AsyncIterator[Tab]:
    """Open a page of the demo; no script of it may fail, and nothing may stick out sideways."""
    async with demo.serve(port=0) as server:
        port = server.sockets[0].getsockname()[1]
        async with tab(browser, f"http://127.0.0.1:{port}{path}", **size) as shown:
            yield shown
            assert shown.faults == []
            width = await shown.page.evaluate("document.documentElement.scrollWidth")
            assert width <= size["viewport"]["width"]


async def lines(shown: Tab, log: str, count: int) -> list[str]:
    """Wait for this many lines of a log and return all there are."""
    found = shown.page.locator(f"{log} > div")
    await found.nth(count - 1).wait_for(state="attached")
    texts: list[str] = await found.all_text_contents()
    return texts


async def wait_for_text(shown: Tab, selector: str, text: str | re.Pattern[str]) -> None:
    await shown.page.locator(selector).filter(has_text=text).first.wait_for()


# ----- API lab


async def test_hello(browser: Any, size: dict[str, Any]) -> None:
    greetings = {"en": "Connection open ...", "zh": "Web Socket 已连接上 ..."}
    async with showing(browser, "/lab", size) as shown:
        for index, (language, first) in enumerate(greetings.items()):
            await shown.page.select_option("#hello-language", language)
            await shown.page.click("#hello-run")
            assert await shown.closed(index) == (1005, "", True)
            assert await lines(shown, "#hello-log", 3) == [
                first,
                "Received Message: Hello WebSockets!",
                "Connection closed.",
            ]
        assert shown.complaints == []


async def test_ready_state_goes_through_all_four(browser: Any, size: dict[str, Any]) -> None:
    async with showing(browser, "/lab", size) as shown:
        values = [
            await shown.page.text_content(f"#ready-state-{name} b")
            for name in ("CONNECTING", "OPEN", "CLOSING", "CLOSED")
        ]
        assert values == ["0", "1", "2", "3"]
        await shown.page.click("#ready-state-connect")
        await shown.page.wait_for_selector("#ready-state-CONNECTING[aria-current]")
        await shown.page.click("#ready-state-send")
        await shown.page.wait_for_selector("#ready-state-OPEN[aria-current]")
        await shown.page.click("#ready-state-close")
        await shown.page.wait_for_selector("#ready-state-CLOSED[aria-current]")
        await shown.page.click("#ready-state-send")
        assert await lines(shown, "#ready-state-log", 6) == [
            "new WebSocket(): readyState 0 CONNECTING",
            "send(): InvalidStateError",
            "event open: readyState 1 OPEN",
            "after close(): readyState 2 CLOSING",
            "event close: readyState 3 CLOSED",
            "send(): dropped without a word; bufferedAmount is 16",
        ]
        assert await shown.page.locator("#ready-state li[aria-current]").count() == 1
        assert shown.complaints == ["WebSocket is already in CLOSING or CLOSED state."]


async def test_ready_state_of_a_connection_that_fails(browser: Any, size: dict[str, Any]) -> None:
    async with showing(browser, "/lab", size) as shown:
        await shown.page.click("#ready-state-send")
        assert await lines(shown, "#ready-state-log", 1) == ["There is no socket yet."]
        await shown.page.click("#ready-state-nowhere")
        assert await lines(shown, "#ready-state-log", 3) == [
            "new WebSocket(): readyState 0 CONNECTING",
            "event error: readyState 3 CLOSED",
            "event close: readyState 3 CLOSED",
        ]


async def test_the_four_events(browser: Any, size: dict[str, Any]) -> None:
    async with showing(browser, "/lab", size) as shown:
        await shown.page.click("#events-run")
        found = await lines(shown, "#events-log", 3)
        assert found[0] == "onopen"
        assert re.fullmatch(r'onmessage data "Hello Server!", origin ws://127.0.0.1:\d+', found[1])
        assert found[2] == "onclose code 1000 “Closing normally!”, wasClean true"
        await shown.page.click("#events-fail")
        await wait_for_text(shown, "#events-log", "onclose code 1006, wasClean false")
        assert await lines(shown, "#events-log", 2) == [
            "onerror (says nothing about why)",
            "onclose code 1006, wasClean false",
        ]
        counts = [
            await shown.page.text_content(f"#events-{name}")
            for name in ("open", "message", "error", "close")
        ]
        assert counts == ["1", "1", "1", "2"]


async def test_listeners_run_in_order(browser: Any, size: dict[str, Any]) -> None:
    async with showing(browser, "/lab", size) as shown:
        await shown.page.click("#listeners-run")
        assert await lines(shown, "#listeners-log", 7) == [
            "1. addEventListener",
            "2. onmessage: first",
            "3. addEventListener, once",
            "4. an object's handleEvent",
            "1. addEventListener",
            "2. onmessage: second",
            "4. an object's handleEvent",
        ]
        assert shown.complaints == []


CLOSES = [
    ("1000", "Closing normally!", "code 1000 “Closing normally!”", "1000 “Closing normally!”"),
    ("4000", "再见", "code 4000 “再见”", "4000 “再见”"),
    ("", "", "code 1005", "without a code"),
]
NOT_FOR_PAGES = [
    ("1001", "", "InvalidAccessError"),
    ("2999", "", "InvalidAccessError"),
    ("5000", "", "InvalidAccessError"),
    ("1000", "x" * 124, "SyntaxError"),
]


async def test_close_and_what_the_server_saw(browser: Any, size: dict[str, Any]) -> None:
    async with showing(browser, "/lab", size) as shown:
        for code, reason, page, server in CLOSES:
            await shown.page.fill("#close-code", code)
            await shown.page.fill("#close-reason", reason)
            await shown.page.click("#close-run")
            await wait_for_text(shown, "#close-log", f"the page gets: {page}, wasClean true")
            found = await lines(shown, "#close-log", 4)
            assert found[0] == "readyState is CLOSING at once"
            assert found[2].startswith("the server received: a Close frame") and server in found[2]
            assert found[3].startswith("the server sent back: a Close frame") and server in found[3]
            await shown.page.wait_for_selector("#close-run:not([aria-disabled])")
        assert shown.complaints == []


async def test_close_refuses_what_is_not_for_pages(browser: Any, size: dict[str, Any]) -> None:
    async with showing(browser, "/lab", size) as shown:
        for code, reason, error in NOT_FOR_PAGES:
            await shown.page.fill("#close-code", code)
            await shown.page.fill("#close-reason", reason)
            await shown.page.click("#close-run")
            await shown.page.wait_for_selector("#close-run:not([aria-disabled])")
            (line,) = await lines(shown, "#close-log", 1)
            assert line.startswith(f"close() throws {error}: ")
        assert shown.complaints == []


async def test_subprotocols(browser: Any, size: dict[str, Any]) -> None:
    async with showing(browser, "/lab", size) as shown:
        await shown.page.click("#subprotocol-run")
        assert await lines(shown, "#subprotocol-log", 3) == [
            'open: protocol is "chat.v2"',
            "the server was offered chat.v1, chat.v2 and chose chat.v2",
            "close: code 1000, wasClean true",
        ]
        await shown.page.uncheck("#subprotocol input[value='chat.v2']")
        await shown.page.click("#subprotocol-run")
        await wait_for_text(shown, "#subprotocol-log", "close:")
        assert (await lines(shown, "#subprotocol-log", 3))[0] == 'open: protocol is "chat.v1"'
        assert shown.complaints == []
        await shown.page.uncheck("#subprotocol input[value='chat.v1']")
        await shown.page.check("#subprotocol input[value='soap']")
        await shown.page.click("#subprotocol-run")
        await wait_for_text(shown, "#subprotocol-log", "error: nothing in common")
        assert (await lines(shown, "#subprotocol-log", 2))[1] == "close: code 1006, wasClean false"


async def test_scheme_without_tls(browser: Any, size: dict[str, Any]) -> None:
    async with showing(browser, "/lab", size) as shown:
        assert await shown.page.is_disabled("#scheme input[value=wss]")
        assert await shown.page.is_checked("#scheme input[value=ws]")
        await wait_for_text(shown, "#scheme-why", "--ssl-certfile")
        await shown.page.click("#scheme-run")
        found = await lines(shown, "#scheme-log", 3)
        assert found[0].startswith("open: ws://127.0.0.1:")
        assert found[1] == "layers: TCP / WebSocket"
        assert shown.complaints == []


URLS = {
    "ws://example.com:80/some/path": "ws://example.com/some/path – host example.com, port 80, "
    "without TLS, asks for /some/path",
    "wss://Example.com?a=b": "wss://example.com/?a=b – host example.com, port 443, with TLS, "
    "asks for /?a=b",
    "ws://localhost:8080": "ws://localhost:8080/ – host localhost, port 8080, without TLS, "
    "asks for /",
    "ftp://example.com": "ftp: is not a WebSocket's scheme",
    "ws://example.com/#x": "a WebSocket's URL has no fragment (#)",
    "example": "not a URL",
}


async def test_urls(browser: Any, size: dict[str, Any]) -> None:
    async with showing(browser, "/lab", size) as shown:
        for url, words in URLS.items():
            await shown.page.fill("#scheme-url", url)
            assert await shown.page.text_content("#scheme-parsed") == words
        assert shown.complaints == []


async def test_scheme_with_tls_and_layers_in_the_inspector(
    playwright: Any, tmp_path: Path, size: dict[str, Any]
) -> None:
    certificate = trustme.CA().issue_cert("127.0.0.1")
    pem = tmp_path / "certificate.pem"
    certificate.private_key_and_cert_chain_pem.write_to_path(str(pem))
    async with running("demo", "--ssl-certfile", str(pem)) as server:
        assert server.url.startswith("https://")
        async with launched(playwright, trusted_key=key_digest(certificate)) as browser:
            async with tab(browser, f"{server.url}lab", **size) as shown:
                assert await shown.page.is_disabled("#scheme input[value=ws]")
                await wait_for_text(shown, "#scheme-why", "It may use both at http://127.0.0.1:")
                await shown.page.click("#scheme-run")
                found = await lines(shown, "#scheme-log", 3)
                assert found[0].startswith("open: wss://127.0.0.1:")
                assert found[1] == "layers: TCP / TLS / WebSocket"
                await shown.page.goto(f"{server.url}inspector")
                await wait_for_text(shown, "#layers", "TCP / TLS / WebSocket")
                await wait_for_text(shown, "#layers", "encrypted with TLSv1")
                await wait_for_text(shown, "#state", "Open: wss://")
                await shown.page.click("#say button")
                await wait_for_text(shown, "#inspector-log", "the page received “Hello”")
                assert await shown.page.locator("#frames > li").count() == 2
                # The same port without TLS, whose page may choose.
                await shown.page.goto(f"http{server.url.removeprefix('https')}lab")
                await wait_for_text(shown, "#scheme-why", "speaks both on its one port")
                for scheme in ("wss", "ws"):
                    await shown.page.check(f"#scheme input[value={scheme}]")
                    await shown.page.click("#scheme-run")
                    await wait_for_text(shown, "#scheme-log", f"open: {scheme}://127.0.0.1:")
                    await wait_for_text(shown, "#scheme-log", "close: code 1000")
                assert shown.complaints == []
                assert shown.faults == []


# ----- Close codes


async def close_me(shown: Tab, button: str) -> str:
    row = shown.page.locator("tr", has=shown.page.get_by_role("button", name=button))
    await shown.page.get_by_role("button", name=button, exact=True).click()
    await row.locator("output").filter(has_text="code").wait_for()
    return str(await row.locator("output").text_content())


async def test_every_code_the_server_may_send(browser: Any, size: dict[str, Any]) -> None:
    async with showing(browser, "/codes", size) as shown:
        for code in SENDABLE:
            said = await close_me(shown, f"close me with {code}")
            assert said == f"code {code} “as you wished”, wasClean true"
        assert shown.complaints == []


async def test_endings_without_a_code(browser: Any, size: dict[str, Any]) -> None:
    async with showing(browser, "/codes", size) as shown:
        assert await close_me(shown, "close me without status") == "code 1005, wasClean true"
        assert await close_me(shown, "cut TCP") == "code 1006, wasClean false"
        assert await close_me(shown, "fail at TLS") == "code 1006, wasClean false"


async def test_codes_that_may_not_stand_in_a_frame(browser: Any, size: dict[str, Any]) -> None:
    async with showing(browser, "/codes", size) as shown:
        # Chromium takes 1004, which means nothing, but none that is said to be never sent.
        assert await close_me(shown, "send me 1004 anyway") == "code 1004, wasClean true"
        for code in (1005, 1006, 1015):
            said = await close_me(shown, f"send me {code} anyway")
            assert said == "code 1006, wasClean false"
            assert "reserved status code" in shown.complaints.pop()


async def test_the_page_has_a_row_for_every_code(browser: Any, size: dict[str, Any]) -> None:
    async with showing(browser, "/codes", size) as shown:
        rows = await shown.page.locator("#codes tbody th").all_text_contents()
        assert list(map(int, rows)) == [*range(1000, 1016), 3000, 4000]
        ranges = await shown.page.locator("#ranges tbody th").all_text_contents()
        assert ranges[0] == "0–999"
        assert ranges[-1] == "from 5000"


# ----- Data


KINDS = {
    "text": "text, 20 bytes: e4 bd a0 e5 a5 bd 2c 20 79 6f 75 72 20 6d 65 73 …",
    "buffer": "binary, 6 bytes: 00 01 02 fd fe ff …",
    "view": "binary, 2 bytes: 01 02 …",
    "blob": "binary, 6 bytes: 00 01 02 fd fe ff …",
}


async def test_text_and_binary(browser: Any, size: dict[str, Any]) -> None:
    async with showing(browser, "/data", size) as shown:
        for kind, received in KINDS.items():
            await shown.page.select_option("#kinds-kind", kind)
            await shown.page.click("#kinds-run")
            await shown.page.wait_for_selector("#kinds-run:not([aria-disabled])")
            assert await lines(shown, "#kinds-log", 2) == [
                f"the server received {received}",
                "SHA-256: the same here and there",
            ]
        assert shown.complaints == []


async def test_a_file_is_sent_as_a_blob(browser: Any, size: dict[str, Any], tmp_path: Path) -> None:
    chosen = tmp_path / "chosen.bin"
    chosen.write_bytes(bytes(range(256)) * 1000)
    async with showing(browser, "/data", size) as shown:
        await shown.page.click("#file-run")
        assert await lines(shown, "#file-log", 1) == ["Choose a file first."]
        await shown.page.set_input_files("#file-input", str(chosen))
        await shown.page.click("#file-run")
        found = await lines(shown, "#file-log", 2)
        assert found[0].startswith("the server received binary, 256,000 bytes: 00 01 02 03")
        assert found[1] == "SHA-256: the same here and there"
        assert shown.complaints == []


async def test_a_canvas_is_sent_as_an_array_buffer(browser: Any, size: dict[str, Any]) -> None:
    async with showing(browser, "/data", size) as shown:
        await shown.page.click("#canvas-run")
        found = await lines(shown, "#canvas-log", 2)
        assert found[0].startswith("the server received binary, 512,000 bytes: 0f 76 6d ff")
        assert found[1] == "SHA-256: the same here and there"
        assert shown.complaints == []


async def test_both_binary_types(browser: Any, size: dict[str, Any]) -> None:
    async with showing(browser, "/data", size) as shown:
        await shown.page.click("#binary-type-run")
        assert await lines(shown, "#binary-type-log", 4) == [
            'binaryType "blob": a Blob, size 1000',
            'binaryType "arraybuffer": an ArrayBuffer, byteLength 1000',
            'after binaryType = "string" it still is "arraybuffer"',
            "text is a string whatever binaryType says",
        ]
        assert shown.complaints == []


async def test_buffered_amount_of_ten_million_bytes(browser: Any, size: dict[str, Any]) -> None:
    async with showing(browser, "/data", size) as shown:
        await shown.page.click("#buffered-run")
        assert await lines(shown, "#buffered-log", 5) == [
            "not sent yet: bufferedAmount is 10,000,000",
            "it is read-only: setting it is a TypeError",
            "sent: bufferedAmount is 0",
            "the server has all 10,000,000 bytes",
            'send("你好") adds its UTF-8 bytes: 6',
        ]
        assert shown.complaints == []


async def test_throttle_sends_once_a_second(browser: Any, size: dict[str, Any]) -> None:
    async with showing(browser, "/data", size) as shown:
        await shown.page.clock.install()
        await shown.page.reload()
        await shown.page.click("#throttle-run")
        await wait_for_text(shown, "#throttle-run", "Stop")
        for count in (1, 2, 3):
            await shown.page.clock.run_for(1000)
            found = await lines(shown, "#throttle-log", count)
            assert len(found) == count
            assert found[-1].startswith("sent; bufferedAmount 100; ")
        await shown.page.click("#throttle-run")
        await wait_for_text(shown, "#throttle-run", "Start")
        await shown.page.clock.run_for(3000)
        assert (await lines(shown, "#throttle-log", 4))[3:] == ["stopped"]
        assert shown.complaints == []


async def test_throttle_holds_back_while_much_waits(browser: Any, size: dict[str, Any]) -> None:
    async with showing(browser, "/data", size) as shown:
        await shown.page.clock.install()
        await shown.page.reload()
        await shown.page.select_option("#throttle-size", "4000000")
        await shown.page.click("#throttle-run")
        await wait_for_text(shown, "#throttle-run", "Stop")
        # Each click on the clock is a task of its own; what waits leaves between them.
        await shown.page.clock.run_for(2000)
        found = await lines(shown, "#throttle-log", 2)
        assert found[0].startswith("sent; bufferedAmount 4,000,000")
        assert found[1].startswith("held back; bufferedAmount ")


# ----- Streams


async def test_the_ticker_speaks_unasked(browser: Any, size: dict[str, Any]) -> None:
    async with showing(browser, "/streams", size) as shown:
        await shown.page.click("#ticker-run")
        found = await lines(shown, "#ticker-log", 2)
        assert found[0].startswith("message 1: 20")
        assert found[1].startswith("message 2: 20")
        assert await shown.page.text_content("#ticker-time") in found[-1]
        await shown.page.click("#ticker-run")
        await wait_for_text(shown, "#ticker-log", "closed: code 1000, wasClean true")
        await wait_for_text(shown, "#ticker-run", "Listen")
        assert shown.complaints == []


async def test_both_directions_at_once(browser: Any, size: dict[str, Any]) -> None:
    async with showing(browser, "/streams", size) as shown:
        await shown.page.click("#both-ways-run")
        await wait_for_text(shown, "#both-ways-log", "closed: code 1000")
        found = await lines(shown, "#both-ways-log", 7)
        turns = re.fullmatch(
            r"both have said 200 things; the direction changed (\d+) times", found[4]
        )
        assert turns and int(turns.group(1)) > 20
        assert found[5] == "the server received 200"
        for bar in ("up", "down"):
            assert (
                await shown.page.evaluate(f"document.querySelector('#both-ways-{bar}').value")
                == 200
            )
        assert shown.complaints == []


async def test_calls_and_answers(browser: Any, size: dict[str, Any]) -> None:
    async with showing(browser, "/streams", size) as shown:
        await shown.page.click("#calls-run")
        found = await lines(shown, "#calls-log", 8)
        assert found[:4] == [
            "asked: nap(0.8)",
            "asked: add(2, 3)",
            'asked: upper("hello")',
            "asked: divide(1, 0)",
        ]
        assert found[4:7] == [
            "answer: add(2, 3) = 5",
            'answer: upper("hello") = "HELLO"',
            "answer: divide(1, 0) failed: there is no such method; there are add, upper, nap",
        ]
        assert found[7] == 'answer: nap(0.8) = "slept for 0.8 s"'
        await shown.page.fill("#calls-text", "grüße")
        await shown.page.press("#calls-text", "Enter")
        await wait_for_text(shown, "#calls-log", 'answer: upper("grüße") = "GRÜSSE"')
        assert len(shown.sockets) == 1
        assert shown.complaints == []


# ----- Inspector


async def fields(shown: Tab, index: int = 0) -> dict[str, str]:
    """What the inspector shows of a frame, by its labels; 0 is the newest."""
    item = shown.page.locator("#frames > li").nth(index)
    found: dict[str, str] = await item.evaluate(
        """(item) => Object.fromEntries([...item.querySelectorAll("[data-field]")].map(
            (each) => [each.dataset.field, each.textContent]))"""
    )
    return found


async def frames(shown: Tab, count: int) -> None:
    await shown.page.locator("#frames > li").nth(count - 1).wait_for(state="attached")
    assert await shown.page.locator("#frames > li").count() == count


async def test_inspector_shows_handshake_and_frames(browser: Any, size: dict[str, Any]) -> None:
    async with showing(browser, "/inspector", size) as shown:
        await wait_for_text(shown, "#state", "Open: ws://")
        request = str(await shown.page.text_content("#request"))
        assert request.startswith("GET /inspected?token=")
        key = re.search(r"\nSec-WebSocket-Key: (\S+)\r?\n", request)
        assert key
        answer = str(await shown.page.text_content("#response"))
        assert answer.startswith("HTTP/1.1 101 Switching Protocols")
        assert f"Sec-WebSocket-Accept: {accept(key.group(1))}" in answer
        await wait_for_text(shown, "#layers", "TCP / WebSocket")

        await shown.page.fill("#text", "你好")
        await shown.page.click("#say button")
        await frames(shown, 2)
        sent, echoed = await fields(shown, 1), await fields(shown, 0)
        assert sent["way"] == "browser → server"
        assert (sent["name"], sent["opcode"], sent["fin"]) == ("text", "0x1", "1")
        assert sent["text"] == echoed["text"] == "你好"
        assert re.fullmatch(r"[0-9a-f]{2}( [0-9a-f]{2}){3}", sent["mask"])
        assert sent["header"].endswith(sent["mask"])
        assert echoed["mask"] == "none"
        assert echoed["header"] == "81 06"
        assert echoed["payload"] == "你好".encode().hex(" ")
        assert shown.complaints == []


async def test_inspector_asks_the_server_for_more(browser: Any, size: dict[str, Any]) -> None:
    async with showing(browser, "/inspector", size) as shown:
        await wait_for_text(shown, "#state", "Open: ws://")
        count = 0
        for button, more in [
            ("Server, say something", 1),
            ("Ping me", 2),
            ("In fragments", 5),
            ("All three length forms", 4),
            ("Binary", 1),
        ]:
            await shown.page.get_by_role("button", name=button, exact=True).click()
            count += more
            await frames(shown, count)
        found = [await fields(shown, index) for index in range(count)][::-1]
        assert found[0]["text"] == "Nobody has asked: the server speaks."
        assert [each["name"] for each in found[1:3]] == ["ping", "pong"]
        assert "".join(each["text"] for each in found[3:7]) == "one message in fragments"
        assert [each["fin"] for each in found[3:8]] == ["0", "0", "0", "0", "1"]
        assert [each["length"] for each in found[8:12]] == [
            "125 bytes",
            "126 bytes",
            "65,535 bytes",
            "65,536 bytes",
        ]
        assert found[11]["payload"].endswith(" …")
        assert found[12]["payload"] == bytes(range(16)).hex(" ")
        await shown.page.get_by_role("button", name="Server, close").click()
        await wait_for_text(shown, "#state", "Closed")
        await frames(shown, count + 2)
        assert (await fields(shown))["name"] == "close 1000"
        await wait_for_text(shown, "#inspector-log", "connection 1: the TCP stream has ended")

        await shown.page.click("#connect")
        await wait_for_text(shown, "#state", "Open: ws://")
        assert await shown.page.locator("#frames > li").count() == 0
        await shown.page.click("#bye")
        await frames(shown, 2)
        assert (await fields(shown, 1))["text"] == "Closing normally!"
        assert shown.complaints == []


def accept(key: str) -> str:
    digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
    return base64.b64encode(digest).decode()


# ----- Tutorials


async def test_runoob_page_pops_up_each_step(browser: Any, size: dict[str, Any]) -> None:
    async with showing(browser, "/tutorials", size) as shown:
        await shown.page.click("main a[href='/runoob_websocket.html']")
        said: list[str] = []

        async def accept_dialog(dialog: Any) -> None:
            said.append(dialog.message)
            await dialog.accept()

        shown.page.on("dialog", accept_dialog)
        await shown.page.get_by_role("button", name="运行 WebSocket").click()
        found = await lines(shown, "#log", 5)
        steps = ["您的浏览器支持 WebSocket!", "数据发送中...", "数据已接收...", "连接已关闭..."]
        assert found == [*steps[:3], "发送数据", steps[3]]
        async with asyncio.timeout(PATIENCE):
            while len(said) < 4:
                await asyncio.sleep(0.005)
        assert said == steps
        assert shown.complaints == []


async def test_websocket_demos_page(browser: Any, size: dict[str, Any]) -> None:
    async with demo.serve(port=0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/websocket-demos"
        async with tab(browser, url, **size) as shown:
            await lines(shown, "#log", 1)
            await shown.page.get_by_role("button", name="发送").click()  # nothing typed
            await shown.page.fill("#text", "你好")
            await shown.page.get_by_role("button", name="发送").click()
            await lines(shown, "#log", 3)
            await shown.page.fill("#text", "回车")
            await shown.page.press("#text", "Enter")
            assert await lines(shown, "#log", 5) == [
                "WebSocket已经打开: ",
                "WebSocket发送消息: 你好",
                "WebSocket收到消息: 你好",
                "WebSocket发送消息: 回车",
                "WebSocket收到消息: 回车",
            ]
            server.close()
            await server.wait_closed()
            assert (await lines(shown, "#log", 6))[5] == "WebSocket关闭: "
            assert shown.complaints == []
