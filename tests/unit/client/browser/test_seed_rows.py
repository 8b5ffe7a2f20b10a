"""What tutorials say of the browser's API (docs/seeds.md), statement by statement.

The first statement that says something gives its test the name; others that say it again refer to
it. The same things are compared with browsers in `tests/browser/scenarios`.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trustme

import duologue
from duologue import Blob, DOMException, WebSocket


async def behave(websocket: duologue.ServerConnection) -> None:
    """Do what the path says; echo by default."""
    assert websocket.request is not None
    path = websocket.request.path
    if path.startswith("/push"):
        for number in range(3):
            await websocket.send(f"news {number}")
    elif path.startswith("/close"):
        await websocket.close(4001, "the server's reason")
    async for message in websocket:
        await websocket.send(path if message == "path?" else message)


@contextlib.asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[str]:
    options = {"max_size": 16 * 2**20, "subprotocols": ["chat.v2", "chat.v1"], **options}
    async with duologue.serve(behave, "127.0.0.1", 0, select_subprotocol=choose, **options) as one:
        scheme = "wss" if "ssl" in options else "ws"
        yield f"{scheme}://127.0.0.1:{next(iter(one.sockets)).getsockname()[1]}"


def choose(connection: Any, offered: list[str]) -> str | None:
    return next((name for name in ("chat.v2", "chat.v1") if name in offered), None)


async def occurs(target: WebSocket, kind: str) -> Any:
    """Wait for the next event of a kind and return it."""
    event: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    target.addEventListener(kind, event.set_result, once=True)
    async with asyncio.timeout(20):
        return await event


def logging(ws: WebSocket) -> list[tuple[Any, ...]]:
    """Log every event with the state in which it came."""
    log: list[tuple[Any, ...]] = []
    ws.onopen = lambda event: log.append(("open", ws.readyState))
    ws.onmessage = lambda event: log.append(("message", ws.readyState, event.data))
    ws.onerror = lambda event: log.append(("error", ws.readyState))
    ws.onclose = lambda event: log.append(
        ("close", ws.readyState, event.code, event.reason, event.wasClean)
    )
    return log


def raises(name: str) -> Any:
    return pytest.raises(DOMException, check=lambda exc: exc.name == name)


async def test_s0_01_the_server_pushes_unasked() -> None:
    async with serving() as url:
        ws = WebSocket(f"{url}/push")
        log = logging(ws)
        while len(log) < 4:
            await occurs(ws, "message")
        async with ws:
            pass
    assert log[:4] == [("open", 1), *(("message", 1, f"news {number}") for number in range(3))]


async def test_s0_02_both_talk_at_once() -> None:
    async with serving() as url:
        ws = WebSocket(f"{url}/push")
        log = logging(ws)
        ws.addEventListener("open", lambda event: [ws.send(str(n)) for n in range(50)])
        while len(log) < 54:
            await occurs(ws, "message")
        async with ws:
            pass
    said = [entry[2] for entry in log[1:54]]
    assert [text for text in said if "news" in text] == [f"news {n}" for n in range(3)]
    assert [text for text in said if "news" not in text] == [str(n) for n in range(50)]


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("ws://127.0.0.1:80/some/path", "ws://127.0.0.1/some/path"),
        ("wss://127.0.0.1:443", "wss://127.0.0.1/"),
        ("ws://127.0.0.1", "ws://127.0.0.1/"),
        ("ws://127.0.0.1:443/", "ws://127.0.0.1:443/"),
    ],
)
async def test_s0_04_default_ports_are_those_of_http(given: str, url: str) -> None:
    async with WebSocket(given, open_timeout=None) as ws:
        assert ws.url == url


async def test_s0_05_the_handshake_is_http() -> None:
    requests: asyncio.Queue[bytes] = asyncio.Queue()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.put_nowait(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        ws = WebSocket(f"ws://127.0.0.1:{port}/some/path?a=b", ["one", "two"])
        log = logging(ws)
        await ws.wait_closed()
    head = await requests.get()
    request_line, *lines = head.decode().split("\r\n")
    fields = {name.lower(): value for name, _, value in (one.partition(": ") for one in lines)}
    assert request_line == "GET /some/path?a=b HTTP/1.1"
    assert fields["host"] == f"127.0.0.1:{port}"
    assert (fields["upgrade"].lower(), fields["connection"].lower()) == ("websocket", "upgrade")
    assert re.fullmatch(r"[A-Za-z0-9+/]{22}==", fields["sec-websocket-key"])
    assert fields["sec-websocket-version"] == "13"
    assert fields["sec-websocket-protocol"] == "one, two"
    assert fields["sec-websocket-extensions"] == "permessage-deflate; client_max_window_bits"
    assert "origin" not in fields and "cookie" not in fields
    assert log == [("error", 3), ("close", 3, 1006, "", False)]


async def test_s0_06_it_passes_a_proxy() -> None:
    asked: list[bytes] = []
    ends: list[asyncio.Task[None]] = []

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while octets := await reader.read(65536):
                writer.write(octets)
        writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head.split(b"\r\n")[0])
        host, port = head.split()[1].decode().split(":")
        behind, further = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        ends.append(asyncio.create_task(carry(behind, writer)))
        await carry(reader, further)

    async with await asyncio.start_server(connect, "127.0.0.1", 0) as proxy, serving() as url:
        address = f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
        ws = WebSocket(url, proxy=address)
        ws.onopen = lambda event: ws.send("through")
        event = await occurs(ws, "message")
        async with ws:
            pass
        await asyncio.gather(*ends)
    assert event.data == "through"
    assert asked == [f"CONNECT {url.removeprefix('ws://')} HTTP/1.1".encode()]


async def test_s0_07_frames_are_light(raw: Any, accepted: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frame = await reader.readexactly(6 + 5)
        assert frame[:2] == b"\x81\x85"
        unmasked = bytes(frame[6 + n] ^ frame[2 + n % 4] for n in range(5))
        writer.write(b"\x81\x05" + unmasked + b"\x88\x00")
        assert (await reader.readexactly(6))[:2] == b"\x88\x80"

    async with raw(accepted, talk) as url:
        ws = WebSocket(url)
        log = logging(ws)
        ws.addEventListener("open", lambda event: ws.send("Hello"))
        await ws.wait_closed()
    assert log == [("open", 1), ("message", 1, "Hello"), ("close", 3, 1005, "", True)]


async def test_s0_08_text_and_binary_data() -> None:
    async with serving() as url, WebSocket(url) as ws:
        ws.binaryType = "arraybuffer"
        log = logging(ws)
        await occurs(ws, "open")
        for data in ("κόσμε", b"\x00\xff"):
            ws.send(data)
            assert (await occurs(ws, "message")).data == data
    assert [entry[2] for entry in log[1:3]] == ["κόσμε", b"\x00\xff"]


@pytest.mark.parametrize("origin", [None, "https://foreign.example"])
async def test_s0_09_any_server_may_be_talked_to(origin: str | None) -> None:
    seen: list[str | None] = []

    def note(connection: Any, request: duologue.Request) -> None:
        seen.append(request.headers.get("Origin"))

    async with serving(process_request=note) as url, WebSocket(url, origin=origin) as ws:
        await occurs(ws, "open")
    assert seen == [origin]


async def test_s0_10_ws_and_wss() -> None:
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    async with serving() as plain, serving(ssl=server) as secure:
        for url, context in ((plain, None), (secure, client)):
            async with WebSocket(url, ssl=context) as ws:
                ws.onopen = lambda event: event.target.send("x")
                event = await occurs(ws, "message")
                assert (event.data, event.origin) == ("x", url)


async def test_s0_11_path_and_query_reach_the_server() -> None:
    async with serving() as url, WebSocket(f"{url}/some/path?a=b&c") as ws:
        ws.onopen = lambda event: ws.send("path?")
        assert (await occurs(ws, "message")).data == "/some/path?a=b&c"


async def test_s0_13_the_constructor_starts_to_connect() -> None:
    async with serving() as url:
        ws = WebSocket(url)
        assert (ws.readyState, ws.protocol, ws.extensions) == (0, "", "")
        assert (ws.bufferedAmount, ws.binaryType, ws.onopen) == (0, "blob", None)
        async with ws:
            await occurs(ws, "open")
            assert ws.readyState == WebSocket.OPEN


async def test_s0_14_all_four_states() -> None:
    async with serving() as url:
        ws = WebSocket(url)
        states = [ws.readyState]
        await occurs(ws, "open")
        states.append(ws.readyState)
        ws.close()
        states.append(ws.readyState)
        await ws.wait_closed()
        states.append(ws.readyState)
    assert states == [0, 1, 2, 3]


async def test_s0_14_closed_when_opening_failed() -> None:
    async with serving() as url:
        pass
    ws = WebSocket(url)
    log = logging(ws)
    await ws.wait_closed()
    assert log == [("error", 3), ("close", 3, 1006, "", False)]


async def test_s0_15_constants_of_class_and_object() -> None:
    async with serving() as url, WebSocket(url) as ws:
        for owner in (WebSocket, ws):
            names = ("CONNECTING", "OPEN", "CLOSING", "CLOSED")
            assert [getattr(owner, name) for name in names] == [0, 1, 2, 3]
            with pytest.raises(AttributeError):
                owner.OPEN = 7
        await occurs(ws, "open")


async def test_s0_17_several_listeners_and_the_handler_in_order() -> None:
    called: list[str] = []
    async with serving() as url, WebSocket(url) as ws:
        ws.addEventListener("open", lambda event: called.append("first"))
        ws.onopen = lambda event: called.append("handler")
        ws.addEventListener("open", lambda event: called.append("last"))
        await occurs(ws, "open")
    assert called == ["first", "handler", "last"]


async def test_s0_18_close_has_code_reason_and_whether_it_was_clean() -> None:
    told: list[Any] = []
    async with serving() as url:
        ws = WebSocket(f"{url}/close")
        ws.onclose = told.append
        ws.addEventListener("close", told.append)
        await ws.wait_closed()
    assert [(event.code, event.reason, event.wasClean) for event in told] == [
        (4001, "the server's reason", True)
    ] * 2


async def test_s0_19_message_has_data_for_handler_and_listeners() -> None:
    told: list[Any] = []
    async with serving() as url, WebSocket(url) as ws:
        ws.onmessage = told.append
        ws.addEventListener("message", told.append)
        ws.onopen = lambda event: ws.send("your message")
        await occurs(ws, "message")
    assert [event.data for event in told] == ["your message"] * 2


async def test_s0_21_error_comes_to_handler_and_listeners_then_close() -> None:
    told: list[str] = []
    async with serving() as url:
        pass
    ws = WebSocket(url)
    ws.onerror = ws.onclose = lambda event: told.append(event.type)
    ws.addEventListener("error", lambda event: told.append("listener"))
    await ws.wait_closed()
    assert told == ["error", "listener", "close"]


@pytest.mark.parametrize("value", ["websocket", "WebSocket", "WEBSOCKET"])
async def test_s1_03_upper_and_lower_case_of_upgrade_do_not_matter(
    raw: Any, accepted: str, value: str
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x88\x02\x0f\xa0")
        assert (await reader.readexactly(8))[:2] == b"\x88\x82"

    head = accepted.replace("Upgrade: websocket", f"Upgrade: {value}")
    async with raw(head, talk) as url:
        ws = WebSocket(url)
        log = logging(ws)
        await ws.wait_closed()
    assert log == [("open", 1), ("close", 3, 4000, "", True)]


@pytest.mark.parametrize(
    ("path", "end"),
    [("/close", (4001, "the server's reason", True)), ("/", (3000, "the client's", True))],
)
async def test_s1_04_it_lasts_until_one_side_closes(path: str, end: tuple[Any, ...]) -> None:
    async with serving() as url:
        ws = WebSocket(url + path)
        log = logging(ws)
        await occurs(ws, "open")
        if path == "/":
            ws.close(3000, "the client's")
        await ws.wait_closed()
    assert log == [("open", 1), ("close", 3, *end)]


async def test_s1_09_buffered_amount_counts_octets_and_is_read_only() -> None:
    async with serving() as url, WebSocket(url) as ws:
        await occurs(ws, "open")
        amounts = []
        for data in ("abc", "é", b"12345", Blob([b"1234"]), memoryview(b"0123")[1:3], ""):
            ws.send(data)
            amounts.append(ws.bufferedAmount)
        assert amounts == [3, 5, 10, 14, 16, 16]
        with pytest.raises(AttributeError):
            ws.bufferedAmount = 0  # type: ignore[misc]
        while ws.bufferedAmount:
            await asyncio.sleep(0)


async def test_s2_06_events_alone_drive_it() -> None:
    told: list[str] = []
    async with serving() as url:
        ws = WebSocket(url)
        ws.onopen = lambda event: (told.append(event.type), ws.send("x"))
        ws.onmessage = lambda event: (told.append(event.type), ws.close())
        ws.onclose = lambda event: told.append(event.type)
        await ws.wait_closed()
    assert told == ["open", "message", "close"]


async def test_s2_07_open_comes_when_the_server_has_agreed() -> None:
    agree = asyncio.Event()

    async def hesitate(connection: Any, request: Any) -> None:
        await agree.wait()

    async with serving(process_request=hesitate) as url, WebSocket(url) as ws:
        log = logging(ws)
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert log == [] and ws.readyState == 0
        agree.set()
        await occurs(ws, "open")
        assert log == [("open", 1)]


async def test_s2_10_nothing_is_exchanged_after_close() -> None:
    async with serving() as url:
        ws = WebSocket(f"{url}/close")
        log = logging(ws)
        await ws.wait_closed()
        ws.send("too late")
        await asyncio.sleep(0)
        assert (ws.bufferedAmount, ws.readyState) == (8, 3)
    assert log[-1][:3] == ("close", 3, 4001)


async def test_s2_12_sending_is_for_open_sockets() -> None:
    async with serving() as url, WebSocket(url) as ws:
        with raises("InvalidStateError"):
            ws.send("too early")
        assert ws.bufferedAmount == 0
        await occurs(ws, "open")
        ws.send("in time")
        assert (await occurs(ws, "message")).data == "in time"


async def test_s2_13_nothing_is_sent_after_close() -> None:
    received: list[Any] = []

    async def listen(websocket: duologue.ServerConnection) -> None:
        received.extend([message async for message in websocket])
        received.append((websocket.close_code, websocket.close_reason))

    async with duologue.serve(listen, "127.0.0.1", 0) as server:
        ws = WebSocket(f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}")
        await occurs(ws, "open")
        ws.send("before")
        ws.close(1000, "Closing normally!")
        ws.send("after")
        assert ws.readyState == WebSocket.CLOSING
        await ws.wait_closed()
        assert ws.bufferedAmount == len("after")
    assert received == ["before", (1000, "Closing normally!")]


@pytest.mark.parametrize(
    ("arguments", "end"),
    [
        ((), (1005, "")),
        ((1000,), (1000, "")),
        ((1000, "Closing normally!"), (1000, "Closing normally!")),
        ((4999, "x" * 123), (4999, "x" * 123)),
    ],
)
async def test_s2_14_code_and_reason_are_optional(arguments: Any, end: Any) -> None:
    async with serving() as url:
        ws = WebSocket(url)
        log = logging(ws)
        await occurs(ws, "open")
        ws.close(*arguments)
        await ws.wait_closed()
    assert log[-1] == ("close", 3, *end, True)


@pytest.mark.parametrize("state", ["connecting", "open", "closed"])
async def test_s2_14_what_close_refuses(state: str) -> None:
    async with serving() as url, WebSocket(url) as ws:
        if state != "connecting":
            await occurs(ws, "open")
        if state == "closed":
            ws.close()
            await ws.wait_closed()
        for code in (0, 999, 1001, 1005, 1006, 1015, 2999, 5000):
            with raises("InvalidAccessError"):
                ws.close(code)
        with raises("SyntaxError"):
            ws.close(1000, "x" * 124)
        assert ws.readyState == {"connecting": 0, "open": 1, "closed": 3}[state]


@pytest.mark.parametrize(
    ("offered", "chosen"), [(None, ""), ("chat.v1", "chat.v1"), (["chat.v1", "chat.v2"], "chat.v2")]
)
async def test_s2_19_the_server_chooses_the_protocol(offered: Any, chosen: str) -> None:
    async with serving() as url, WebSocket(url, offered) as ws:
        assert ws.protocol == ""
        await occurs(ws, "open")
        assert ws.protocol == chosen
    assert ws.protocol == chosen


async def test_s3_07_a_blob_is_sent_with_its_octets() -> None:
    async with serving() as url, WebSocket(url) as ws:
        await occurs(ws, "open")
        ws.send(Blob([b"\x00\x01", "é"]))
        assert ws.bufferedAmount == 4
        blob = (await occurs(ws, "message")).data
        assert isinstance(blob, Blob) and bytes(blob) == b"\x00\x01\xc3\xa9"


async def test_s3_08_the_pixels_of_a_canvas() -> None:
    async with serving() as url, WebSocket(url) as ws:
        await occurs(ws, "open")
        pixels = bytearray(range(256)) * (400 * 320 * 4 // 256)
        ws.send(pixels)
        copy = bytes(pixels)
        pixels[:] = bytes(len(pixels))  # what is sent is what was there
        ws.binaryType = "arraybuffer"
        assert (await occurs(ws, "message")).data == copy
    assert len(copy) == 512_000


async def test_s3_09_binary_type_chooses_what_comes() -> None:
    async with serving() as url, WebSocket(url) as ws:
        await occurs(ws, "open")
        ws.send(b"12345")
        blob = (await occurs(ws, "message")).data
        assert (type(blob), blob.size, await blob.arrayBuffer()) == (Blob, 5, b"12345")
        ws.binaryType = "arraybuffer"
        ws.send(b"123456")
        buffer = (await occurs(ws, "message")).data
        assert (type(buffer), len(buffer)) == (bytes, 6)
        ws.binaryType = "something else"
        assert ws.binaryType == "arraybuffer"


async def test_s3_10_buffered_amount_of_ten_million() -> None:
    async with serving() as url, WebSocket(url) as ws:
        await occurs(ws, "open")
        ws.send(bytes(10_000_000))
        assert ws.bufferedAmount == 10_000_000
        event = await occurs(ws, "message")
        assert (event.data.size, ws.bufferedAmount) == (10_000_000, 0)


async def test_s4_09_codes_are_told_as_they_come() -> None:
    codes = (1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999)
    told = []

    async def close(websocket: duologue.ServerConnection) -> None:
        assert websocket.request is not None
        await websocket.close(int(websocket.request.path[1:]), "bécause")

    async with duologue.serve(close, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        for code in codes:
            event = await occurs(WebSocket(f"ws://127.0.0.1:{port}/{code}"), "close")
            told.append((event.code, event.reason, event.wasClean))
    assert told == [(code, "bécause", True) for code in codes]


async def test_s4_10_what_came_is_told_by_its_type() -> None:
    kinds: list[str] = []

    def handle(event: Any) -> None:
        if isinstance(event.data, str):
            kinds.append("string")
        elif isinstance(event.data, Blob):
            kinds.append("blob")
        elif isinstance(event.data, bytes):
            kinds.append("arraybuffer")

    async with serving() as url, WebSocket(url) as ws:
        ws.onmessage = handle
        await occurs(ws, "open")
        for data in ("x", b"x"):
            ws.send(data)
            await occurs(ws, "message")
        ws.binaryType = "arraybuffer"
        ws.send(b"x")
        await occurs(ws, "message")
    assert kinds == ["string", "blob", "arraybuffer"]
