"""``WebSocket`` as a page sees it: attributes, methods, and events that end well."""

from __future__ import annotations

import array
import asyncio
import gc
import weakref
from collections.abc import Callable
from http.cookiejar import CookieJar
from typing import Any

import pytest

import duologue
from duologue import (
    AbortController,
    Blob,
    CloseEvent,
    DOMException,
    Event,
    EventTarget,
    Limits,
    MessageEvent,
    WebSocket,
)
from duologue.testing import SimulatedNetwork

Logged = Callable[[WebSocket], list[tuple[Any, ...]]]
URL = "ws://server.test/"


pytestmark = pytest.mark.usefixtures("loop_factory")


@pytest.fixture
def network() -> SimulatedNetwork:
    return SimulatedNetwork()


@pytest.fixture
def loop_factory(network: SimulatedNetwork) -> Callable[[], asyncio.AbstractEventLoop]:
    return network.loop_factory


async def echo(ws: Any) -> None:
    async for message in ws:
        await ws.send(message)


def serve(handler: Any = echo, **options: Any) -> Any:
    return duologue.serve(handler, "server.test", 80, **options)


async def opened(ws: WebSocket) -> WebSocket:
    event = asyncio.get_running_loop().create_future()
    ws.addEventListener("open", event.set_result, once=True)
    await event
    # A task's step holds what has woken it, here the event.
    await asyncio.sleep(0)
    return ws


async def message(ws: WebSocket) -> Any:
    event = asyncio.get_running_loop().create_future()
    ws.addEventListener("message", event.set_result, once=True)
    return (await event).data


# -- the interface


async def test_constants() -> None:
    async with serve(), WebSocket(URL) as ws:
        names = ("CONNECTING", "OPEN", "CLOSING", "CLOSED")
        for value, name in enumerate(names):
            assert getattr(WebSocket, name) == getattr(ws, name) == value
            with pytest.raises(AttributeError, match=f"{name} is a constant"):
                setattr(ws, name, 7)
            with pytest.raises(AttributeError, match=f"{name} is a constant"):
                setattr(WebSocket, name, 7)


async def test_new_socket() -> None:
    async with serve(), WebSocket("http://SERVER.test:80?é") as ws:
        assert isinstance(ws, EventTarget)
        assert ws.url == "ws://server.test/?%C3%A9"
        assert ws.readyState == WebSocket.CONNECTING
        assert (ws.bufferedAmount, ws.extensions, ws.protocol) == (0, "", "")
        assert (ws.binaryType, ws.failure) == ("blob", None)
        assert ws.onopen is ws.onmessage is ws.onerror is ws.onclose is None
        assert repr(ws) == "<WebSocket ws://server.test/?%C3%A9 CONNECTING>"


@pytest.mark.parametrize(
    "name", ["url", "readyState", "bufferedAmount", "extensions", "protocol", "failure"]
)
async def test_attributes_are_read_only(name: str) -> None:
    async with serve(), WebSocket(URL) as ws:
        with pytest.raises(AttributeError):
            setattr(ws, name, 1)


async def test_binary_type_takes_its_two_values_only() -> None:
    async with serve(), WebSocket(URL) as ws:
        for value in ("arraybuffer", "notBlobOrArrayBuffer", None, "ARRAYBUFFER", 5):
            ws.binaryType = value  # type: ignore[assignment]
            assert ws.binaryType == "arraybuffer"
        ws.binaryType = "blob"
        assert ws.binaryType == "blob"


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (("ws://h/#f",), {}),
        (("/chat",), {}),
        ((URL, ["a", "a"]), {}),
        ((URL, ""), {}),
        (("ftp://h/", ["a", "a"]), {}),
        (("#f",), {"base": "ws://h/"}),
    ],
)
async def test_wrong_arguments(arguments: Any, options: Any) -> None:
    with pytest.raises(DOMException) as info:
        WebSocket(*arguments, **options)
    assert info.value.name == "SyntaxError"


async def test_wrong_types_and_options() -> None:
    with pytest.raises(TypeError):
        WebSocket()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="url must be str"):
        WebSocket(None)
    with pytest.raises(TypeError, match="unexpected keyword"):
        WebSocket(URL, unknown=1)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="unsupported compression"):
        WebSocket(URL, compression="brotli")
    with pytest.raises(ValueError, match="max_size must not be negative"):
        WebSocket(URL, max_size=-1)


# -- a conversation


async def test_events_of_a_conversation(logged: Logged) -> None:
    async with serve():
        ws = WebSocket(URL)
        log = logged(ws)
        ws.onopen = lambda event: ws.send("hello")
        ws.onmessage = lambda event: ws.close(3001, "bye")
        await ws.wait_closed()
        assert log == [
            ("open", 1),
            ("message", 1, "hello"),
            ("close", 3, 3001, "bye", True),
        ]


async def test_event_objects() -> None:
    events: list[Any] = []
    async with serve(), WebSocket(URL) as ws:
        for name in ("open", "message", "close"):
            ws.addEventListener(name, events.append)
            ws.addEventListener(
                name, lambda event: events.append((event.eventPhase, event.currentTarget))
            )
        ws.onopen = lambda event: ws.send("x")
        ws.onmessage = lambda event: ws.close()
        await ws.wait_closed()
        assert [type(event) for event in events[::2]] == [Event, MessageEvent, CloseEvent]
        assert events[1::2] == [(2, ws)] * 3
        for event in events[::2]:
            assert event.isTrusted
            assert (event.bubbles, event.cancelable, event.target) == (False, False, ws)
        message = events[2]
        assert (message.origin, message.lastEventId) == ("ws://server.test", "")
        assert (message.source, message.ports) == (None, ())


async def test_origin_of_messages_has_the_port_unless_it_is_the_scheme_s() -> None:
    events: list[Any] = []
    async with duologue.serve(lambda ws: ws.send("x"), "server.test", 8080):
        ws = WebSocket("ws://server.test:8080/path?query")
        ws.onmessage = events.append
        await ws.wait_closed()
    assert [event.origin for event in events] == ["ws://server.test:8080"]


async def test_nothing_happens_before_the_constructor_s_caller_goes_on(logged: Logged) -> None:
    async with serve():
        ws = WebSocket(URL)
        assert ws.readyState == 0
        log = logged(ws)
        await opened(ws)
        assert log == [("open", 1)]
        ws.close()
        await ws.wait_closed()


async def test_messages_come_one_in_an_iteration_of_the_loop() -> None:
    turns: list[int] = []
    turn = 0

    def next_turn() -> None:
        nonlocal turn
        turn += 1
        if ws.readyState < 3:
            asyncio.get_running_loop().call_soon(next_turn)

    async def burst(peer: Any) -> None:
        for _ in range(10):
            await peer.send("x")

    async with serve(burst):
        ws = WebSocket(URL)
        ws.onmessage = lambda event: turns.append(turn)
        next_turn()
        await ws.wait_closed()
    assert len(set(turns)) == 10


@pytest.mark.parametrize(
    "data", [b"octets", bytearray(b"octets"), memoryview(b"octets"), array.array("B", b"octets")]
)
async def test_binary_messages(data: Any) -> None:
    async with serve(), WebSocket(URL) as ws:
        await opened(ws)
        ws.send(data)
        blob = await message(ws)
        assert isinstance(blob, Blob)
        assert (bytes(blob), blob.type) == (b"octets", "")
        ws.binaryType = "arraybuffer"
        ws.send(Blob([data]))
        assert await message(ws) == b"octets"


async def test_text_messages() -> None:
    async with serve(), WebSocket(URL) as ws:
        await opened(ws)
        for text, received in (
            ("", ""),
            ("\x00é\U0001f600", "\x00é\U0001f600"),
            ("\ud800", "\ufffd"),
        ):
            ws.send(text)
            assert await message(ws) == received


async def test_what_is_sent_is_what_was_given() -> None:
    async with serve(), WebSocket(URL) as ws:
        ws.binaryType = "arraybuffer"
        await opened(ws)
        data = bytearray(100_000)
        ws.send(data)
        data[:] = b"x" * len(data)
        assert await message(ws) == bytes(100_000)


async def test_send_needs_data_and_an_open_socket() -> None:
    async with serve(), WebSocket(URL) as ws:
        with pytest.raises(DOMException) as info:
            ws.send("x")
        assert info.value.name == "InvalidStateError"
        assert ws.bufferedAmount == 0
        with pytest.raises(TypeError):
            ws.send()  # type: ignore[call-arg]
        with pytest.raises(TypeError):
            ws.send(None)
        await opened(ws)
        with pytest.raises(TypeError, match="data must be"):
            ws.send({})


async def test_messages_after_close_was_called_are_dropped(logged: Logged) -> None:
    async def talk(peer: Any) -> None:
        for _ in range(100):
            await peer.send("x")
        await peer.wait_closed()

    async with serve(talk):
        ws = WebSocket(URL)
        log = logged(ws)
        ws.onmessage = lambda event: ws.close()
        await ws.wait_closed()
        assert log == [("open", 1), ("message", 1, "x"), ("close", 3, 1005, "", True)]


async def test_messages_wait_for_their_turn_and_none_is_lost(logged: Logged) -> None:
    count = 500

    async def talk(peer: Any) -> None:
        for number in range(count):
            await peer.send(str(number))
        await peer.close(4000, "all")

    async with serve(talk, compression=None):
        ws = WebSocket(URL, max_queue=2)
        log = logged(ws)
        await ws.wait_closed()
        assert [entry[2] for entry in log[1:-1]] == [str(number) for number in range(count)]
        # Whatever the peer said first was dispatched as of an open socket.
        assert {entry[1] for entry in log[:-1]} == {1}
        assert log[-1] == ("close", 3, 4000, "all", True)


async def test_reading_pauses_while_messages_wait() -> None:
    sent = 0

    async def flood(peer: Any) -> None:
        nonlocal sent
        while True:
            await peer.send(bytes(10_000))
            sent += 1

    loop = asyncio.get_running_loop()
    async with serve(flood, write_limit=1):
        ws = WebSocket(URL, max_queue=4, compression=None)
        # Never taken: the open event's task doesn't end.
        ws._session._go_on = lambda: None  # type: ignore[method-assign]
        await opened(ws)
        before = -1
        async with asyncio.timeout(10):
            while sent != before:
                before = sent
                await asyncio.sleep(1)
        assert 0 < sent < 100
        del ws._session._go_on
        ws._session._go_on()
        ws.close()
        await ws.wait_closed()
        assert loop.time() < 60


# -- close


async def test_close_without_arguments_sends_no_code() -> None:
    codes: list[int] = []

    async def note(peer: Any) -> None:
        await peer.wait_closed()
        codes.append(peer.close_code)

    async with serve(note):
        ws = WebSocket(URL)
        await opened(ws)
        ws.close()
        assert ws.readyState == WebSocket.CLOSING
        await ws.wait_closed()
        assert ws.readyState == WebSocket.CLOSED
    assert codes == [1005]


@pytest.mark.parametrize(
    ("arguments", "received"),
    [
        ((1000,), (1000, "")),
        ((3000, "é"), (3000, "é")),
        ((4999.4, "x" * 123), (4999, "x" * 123)),
        ((None, "why"), (1000, "why")),
    ],
)
async def test_close_sends_code_and_reason(arguments: Any, received: tuple[int, str]) -> None:
    closes: list[Any] = []

    async def note(peer: Any) -> None:
        await peer.wait_closed()
        closes.append((peer.close_code, peer.close_reason))

    async with serve(note):
        ws = WebSocket(URL)
        await opened(ws)
        ws.close(*arguments)
        await ws.wait_closed()
    assert closes == [received]


async def test_close_is_validated_in_every_state() -> None:
    def check(ws: WebSocket) -> None:
        for arguments, name in (
            ((1001,), "InvalidAccessError"),
            ((1000, "x" * 124), "SyntaxError"),
        ):
            state = ws.readyState
            with pytest.raises(DOMException) as info:
                ws.close(*arguments)
            assert (info.value.name, ws.readyState) == (name, state)

    async with serve():
        ws = WebSocket(URL)
        check(ws)
        await opened(ws)
        check(ws)
        ws.close()
        check(ws)
        await ws.wait_closed()
        check(ws)


async def test_closing_again_does_nothing(logged: Logged) -> None:
    async with serve():
        ws = WebSocket(URL)
        log = logged(ws)
        ws.onopen = lambda event: (ws.close(3000), ws.close(3001))
        ws.onclose = lambda event: ws.close(3002)
        await ws.wait_closed()
        ws.close()
        await asyncio.sleep(1)
        assert log == [("open", 1), ("close", 3, 3000, "", True)]


async def test_what_was_sent_comes_before_the_close() -> None:
    received: list[int] = []

    async def note(peer: Any) -> None:
        received.extend([len(message) async for message in peer])

    async with serve(note, max_size=None, compression=None):
        ws = WebSocket(URL)
        await opened(ws)
        for _ in range(4):
            ws.send(bytes(1_000_000))
        ws.close()
        ws.send("dropped")
        await ws.wait_closed()
    assert received == [1_000_000] * 4


async def test_peer_closes_without_a_code(logged: Logged) -> None:
    async with serve(lambda peer: peer.close(None)):
        ws = WebSocket(URL)
        log = logged(ws)
        await ws.wait_closed()
        assert log == [("open", 1), ("close", 3, 1005, "", True)]


async def test_close_event_tells_the_peer_s_code_not_ours(logged: Logged) -> None:
    async with serve(lambda peer: peer.close(4001, "mine")):
        ws = WebSocket(URL)
        log = logged(ws)
        ws.onopen = lambda event: None
        await ws.wait_closed()
        assert log[-1] == ("close", 3, 4001, "mine", True)


# -- listeners


async def test_several_listeners_and_a_handler_attribute() -> None:
    calls: list[str] = []
    async with serve():
        ws = WebSocket(URL)
        ws.addEventListener("open", lambda event: calls.append("first"))
        ws.onopen = lambda event: calls.append("attribute")
        ws.addEventListener("open", lambda event: calls.append("second"))
        ws.addEventListener("open", lambda event: ws.close())
        await ws.wait_closed()
    assert calls == ["first", "attribute", "second"]


async def test_signal_takes_a_listener_away() -> None:
    calls: list[Any] = []
    controller = AbortController()
    async with serve(), WebSocket(URL) as ws:
        await opened(ws)
        ws.addEventListener("message", calls.append, signal=controller.signal)
        controller.abort()
        ws.send("x")
        assert await message(ws) == "x"
    assert calls == []


async def test_coroutine_functions_become_tasks() -> None:
    calls: list[Any] = []
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    async def slowly(event: Event) -> None:
        calls.append(asyncio.current_task() is not None)
        await asyncio.sleep(1)
        calls.append(event.type)
        done.set_result(None)

    async with serve():
        ws = WebSocket(URL)
        ws.onopen = slowly
        ws.addEventListener("open", lambda event: calls.append("plain"))
        await done
        ws.close()
        await ws.wait_closed()
    assert calls == ["plain", True, "open"]


async def test_exceptions_are_reported_to_the_loop_and_others_go_on(logged: Logged) -> None:
    reported: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda loop, context: reported.append(type(context["exception"]))
    )

    def fail(event: Event) -> None:
        raise ZeroDivisionError

    async def fail_later(event: Event) -> None:
        await asyncio.sleep(0)
        raise KeyError

    async with serve():
        ws = WebSocket(URL)
        ws.addEventListener("open", fail)
        ws.addEventListener("open", fail_later)
        log = logged(ws)
        ws.addEventListener("message", lambda event: ws.close())
        ws.onopen = lambda event: ws.send("still open")
        await ws.wait_closed()
        assert [entry[0] for entry in log] == ["open", "message", "close"]
    assert reported == [ZeroDivisionError, KeyError]


async def test_program_s_own_events_change_nothing() -> None:
    async with serve(), WebSocket(URL) as ws:
        seen: list[Any] = []
        ws.onclose = lambda event: seen.append((event.isTrusted, event.code, ws.readyState))
        await opened(ws)
        assert ws.dispatchEvent(CloseEvent("close", code=1000))
        ws.send("x")
        assert await message(ws) == "x"
        assert seen == [(False, 1000, 1)]
        ws.onclose = None


# -- what pages can't set


async def test_options_of_the_request() -> None:
    heads: list[Any] = []

    async def note(peer: Any) -> None:
        heads.append(peer.request)

    async with serve(note):
        for options in (
            {},
            {
                "headers": {"X-One": "1"},
                "origin": "https://page.test",
                "compression": None,
                "user_agent_header": "Me",
            },
        ):
            ws = WebSocket("ws://user:secret@server.test/path?q=1", **options)
            await ws.wait_closed()
    plain, rich = (head.headers for head in heads)
    assert heads[0].path == "/path?q=1"
    assert plain["Sec-WebSocket-Extensions"] == "permessage-deflate; client_max_window_bits"
    for name in ("Origin", "Authorization", "Cookie", "Referer", "Sec-WebSocket-Protocol"):
        assert name not in plain
    assert (rich["X-One"], rich["Origin"], rich["User-Agent"]) == ("1", "https://page.test", "Me")
    assert "Sec-WebSocket-Extensions" not in rich


async def test_subprotocol_and_extensions() -> None:
    async with serve(subprotocols=["b"]):
        ws = WebSocket(URL, ["a", "b"])
        assert (ws.protocol, ws.extensions) == ("", "")
        await opened(ws)
        agreed = (ws.protocol, ws.extensions)
        ws.close()
        await ws.wait_closed()
        assert (ws.protocol, ws.extensions) == agreed
        assert agreed[0] == "b"
        assert agreed[1].startswith("permessage-deflate")


async def test_base() -> None:
    async with serve(lambda peer: peer.send(peer.request.path)):
        ws = WebSocket("chat", base="http://server.test/rooms/")
        assert await message(ws) == "/rooms/chat"
        await ws.wait_closed()


async def test_cookies() -> None:
    def set_cookie(peer: Any, request: Any, response: Any) -> None:
        response.headers["Set-Cookie"] = "seen=1"

    cookies = CookieJar()
    received: list[Any] = []

    async def note(peer: Any) -> None:
        received.append(peer.request.headers.get("Cookie"))

    async with serve(note, process_response=set_cookie):
        for _ in range(2):
            ws = WebSocket(URL, cookies=cookies)
            await ws.wait_closed()
    assert received == [None, "seen=1"]


async def test_max_size(logged: Logged) -> None:
    async with serve(lambda peer: peer.send(bytes(20_000_000)), compression=None):
        ws = WebSocket(URL)
        log = logged(ws)
        await ws.wait_closed()
        assert log == [("open", 1), ("error", 3), ("close", 3, 1006, "", False)]
        assert "16777216" in str(ws.failure)
        ws = WebSocket(URL, max_size=None)
        log = logged(ws)
        await ws.wait_closed()
        assert [entry[0] for entry in log] == ["open", "message", "close"]


@pytest.mark.parametrize(
    ("options", "pings"),
    [({}, 0), ({"ping_interval": 10}, 5), ({"limits": Limits(ping_interval=5)}, 11)],
)
async def test_pings_if_asked_for(options: Any, pings: int) -> None:
    count = 0

    class Counting(duologue.Endpoint):
        def on_ping(self, ws: Any, payload: bytes) -> None:
            nonlocal count
            count += 1

    async with serve(Counting(), ping_interval=None), WebSocket(URL, **options) as ws:
        await opened(ws)
        await asyncio.sleep(58)
    assert count == pings


async def test_a_dead_peer_is_noticed_if_it_is_pinged(
    logged: Logged, network: SimulatedNetwork
) -> None:
    async with serve(ping_interval=None, close_timeout=1):
        ws = WebSocket(URL, ping_interval=5, ping_timeout=5, close_timeout=1)
        log = logged(ws)
        await opened(ws)
        network.links[0].stall()
        await ws.wait_closed()
        assert log == [("open", 1), ("error", 3), ("close", 3, 1006, "", False)]
        network.links[0].cut()


# -- staying and going


async def test_waiting_for_the_end_is_bounded_if_asked_for() -> None:
    async with serve(), WebSocket(URL) as ws:
        await opened(ws)
        with pytest.raises(TimeoutError):
            await ws.wait_closed(1)
        assert ws.readyState == 1


async def test_with_is_refused_where_a_loop_runs() -> None:
    async with serve(), WebSocket(URL) as ws:
        with pytest.raises(RuntimeError, match="use async with"), ws:
            pass


async def test_async_with_closes() -> None:
    async with serve():
        async with WebSocket(URL) as ws:
            await opened(ws)
        assert ws.readyState == 3


async def test_collected_without_listeners_it_closes() -> None:
    codes: list[int] = []
    gone = asyncio.get_running_loop().create_future()

    async def note(peer: Any) -> None:
        await peer.wait_closed()
        codes.append(peer.close_code)
        gone.set_result(None)

    async with serve(note):
        ws = WebSocket(URL)
        await opened(ws)
        reference = weakref.ref(ws)
        del ws
        gc.collect()
        assert reference() is None
        await gone
    assert codes == [1005]


@pytest.mark.parametrize("type", ["message", "error", "close"])
async def test_with_listeners_for_what_may_happen_it_stays(type: str) -> None:
    async with serve():
        ws = WebSocket(URL)
        await opened(ws)
        ws.addEventListener(type, print)
        reference = weakref.ref(ws)
        del ws
        gc.collect()
        ws_again = reference()
        assert ws_again is not None
        ws_again.removeEventListener(type, print)
        del ws_again
        gc.collect()
        assert reference() is None


async def test_a_closed_socket_does_not_stay() -> None:
    async with serve():
        ws = WebSocket(URL)
        ws.onopen = ws.onmessage = ws.onclose = print
        ws.close()
        await ws.wait_closed()
        reference = weakref.ref(ws)
        del ws
        await asyncio.sleep(1)
        gc.collect()
        assert reference() is None
