"""The client of `websocket-client`, and our façade with its names, in the same conversations."""

from __future__ import annotations

import gc
import os
import re
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from duologue.sync.server import serve

websocket = pytest.importorskip("websocket")
# The original leaves sockets to the collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
PAGE = Path(__file__).parents[2] / "docs" / "coming-from" / "websocket-client.md"


def load_facade() -> types.ModuleType:
    """The module that stands on the page."""
    block = re.compile(r"^```python\n(# facade\.py\n.*?)^```$", re.M | re.S)
    [code] = block.findall(PAGE.read_text("utf-8"))
    module = types.ModuleType("facade")
    exec(compile(code, "facade.py", "exec"), module.__dict__)
    return module


@pytest.fixture(params=["websocket-client", "facade"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What is imported as ``websocket``."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    return websocket if request.param == "websocket-client" else load_facade()


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """What the original leaves is collected here, where nobody minds."""
    yield
    gc.collect()


def handler(ws: Any) -> None:
    """Does as it is told."""
    for message in ws:
        if message == "headers":
            headers = ws.request.headers
            ws.send(f"{headers.get('X-Name')} {headers.get('Cookie')}")
        elif message == "fragments":
            ws.send(["one ", "two ", "three"])
        elif message == "bye":
            ws.close(4001, "as you wish")
        else:
            ws.send(message)


@pytest.fixture
def url() -> Iterator[str]:
    def process_request(ws: Any, request: Any) -> Any:
        return ws.respond(404, "nothing here\n") if request.path == "/nowhere" else None

    def select(ws: Any, offered: Any) -> Any:
        return offered[0] if offered else None

    with serve(
        handler,
        "127.0.0.1",
        0,
        subprotocols=["v1"],
        select_subprotocol=select,
        process_request=process_request,
    ) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/"
    thread.join()


def test_messages(library: Any, url: str) -> None:
    ws = library.create_connection(url, timeout=5)
    assert ws.connected
    assert (ws.gettimeout(), ws.getstatus()) == (5, 101)
    assert ws.getheaders()["upgrade"] == "websocket"
    for send, message in [
        (ws.send, "é"),
        (ws.send_text, "text"),
        (ws.send_binary, b"\x00\xff"),
        (ws.send_bytes, b"octets"),
        (ws.send, "x" * 100_000),
    ]:
        send(message)
        assert ws.recv() == message
    ws.send("fragments")
    assert ws.recv() == "one two three"
    ws.ping()
    ws.ping("payload")
    ws.pong("payload")
    ws.send("after")
    assert ws.recv() == "after"
    ws.close()
    assert not ws.connected


@pytest.mark.parametrize("header", [{"X-Name": "me"}, ["X-Name: me"]])
def test_headers(library: Any, url: str, header: Any) -> None:
    ws = library.create_connection(url, header=header, cookie="a=b", subprotocols=["v1"])
    assert ws.subprotocol == "v1"
    ws.send("headers")
    assert ws.recv() == "me a=b"
    ws.close()


def test_time_out(library: Any, url: str) -> None:
    ws = library.create_connection(url)
    ws.settimeout(0.05)
    with pytest.raises(library.WebSocketTimeoutException):
        ws.recv()
    ws.settimeout(5)
    ws.send("late")
    assert ws.recv() == "late"
    ws.close()


def test_the_servers_end(library: Any, url: str) -> None:
    ws = library.create_connection(url, timeout=5)
    ws.send("one")
    ws.send("bye")
    assert list(iter(ws.recv, "")) == ["one"]
    ws.close()


def test_refused(library: Any, url: str) -> None:
    with pytest.raises(library.WebSocketBadStatusException, match="404"):
        library.create_connection(url + "nowhere")


def run_app(library: Any, url: str, bye: bool) -> list[Any]:
    """Record what callbacks an application gets."""
    seen: list[Any] = []

    def on_open(app: Any) -> None:
        seen.append("open")
        app.send("hello")

    def on_message(app: Any, message: Any) -> None:
        seen.append(message)
        if message == "hello":
            app.send_bytes(b"octets")
        elif bye:
            app.send_text("bye")
        else:
            app.close()

    app = library.WebSocketApp(
        url,
        on_open=on_open,
        on_message=on_message,
        on_error=lambda app, error: seen.append(
            isinstance(error, library.WebSocketConnectionClosedException)
        ),
        on_close=lambda app, code, reason: seen.append(("close", code, reason)),
    )
    app.run_forever()
    return seen


def test_application(library: Any, url: str) -> None:
    assert run_app(library, url, bye=True) == [
        "open", "hello", b"octets", True, ("close", 4001, "as you wish"),
    ]  # fmt: skip


def test_application_that_closes(library: Any, url: str) -> None:
    seen = run_app(library, url, bye=False)
    assert seen[:3] == ["open", "hello", b"octets"]
    assert [entry[0] for entry in seen[3:]] == ["close"]


def test_application_that_is_refused(library: Any, url: str) -> None:
    seen: list[Any] = []
    app = library.WebSocketApp(
        url + "nowhere",
        on_open=lambda app: seen.append("open"),
        on_error=lambda app, error: seen.append("404" in str(error)),
    )
    assert app.run_forever()
    assert seen == [True]
