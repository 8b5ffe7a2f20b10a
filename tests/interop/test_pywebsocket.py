"""Our handlers' server beside PyPI's ``pywebsocket3``: one script drives both.

What each answers is compared octet for octet; only dates are taken out. What differs on purpose
comes at the end.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("pywebsocket3") is None, reason="needs pywebsocket3"
)

PATIENCE = 30.0
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
HANDLERS = Path(__file__).parent / "pywebsocket_handlers"
EXAMPLES = Path(__file__).parents[2] / "examples" / "pywebsocket"
ORIGINAL = "pywebsocket3.standalone"
OURS = "duologue.frontends.pywebsocket.standalone"


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
    length = len(payload)
    size = bytes([0x80 | length]) if length < 126 else b"\xfe" + length.to_bytes(2, "big")
    return bytes([fin << 7 | rsv << 4 | opcode]) + size + bytes(4) + payload


def request(target: str, *headers: str, without: str = "", line: str = "") -> bytes:
    """An opening handshake; ``headers`` replace those of the same name."""
    fields = {
        "host": "Host: a.example:8080",
        "upgrade": "Upgrade: websocket",
        "connection": "Connection: Upgrade",
        "sec-websocket-version": "Sec-WebSocket-Version: 13",
        "sec-websocket-key": f"Sec-WebSocket-Key: {KEY}",
    }
    fields.pop(without.lower(), None)
    lines = [line or f"GET {target} HTTP/1.1"]
    fields |= {header.partition(":")[0].lower(): header for header in headers}
    return "\r\n".join([*lines, *fields.values(), "", ""]).encode("latin-1")


def converse(port: int, *parts: bytes) -> bytes:
    """Send everything, and return what came until the end."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
        came = b""
        with contextlib.suppress(ConnectionError):
            for part in parts:
                sock.sendall(part)
            while more := sock.recv(65536):
                came += more
    came = re.sub(rb"(?m)^Date: [^\r]*", b"Date: now", came)
    return came.replace(str(port).encode(), b"<port>")


@contextlib.contextmanager
def server(module: str, *words: str, log: Path | None = None) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-W", "ignore", "-m", module, "-H", "127.0.0.1", f"-p{port}", *words]
    with contextlib.ExitStack() as stack:
        errors: Any = subprocess.DEVNULL
        if log is not None:
            errors = stack.enter_context(log.open("wb"))
        process = stack.enter_context(
            subprocess.Popen(command, stderr=errors, env={**os.environ, "PYTHONUTF8": "1"})
        )
        try:
            await_port(port, process)
            yield port
        finally:
            process.terminate()


def await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + PATIENCE
    while True:
        assert process.poll() is None, "the server has ended"
        try:
            socket.create_connection(("127.0.0.1", port), PATIENCE).close()
            return
        except ConnectionRefusedError:
            assert time.monotonic() < ends
            time.sleep(0.02)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pywebsocket")
    for source in (HANDLERS, EXAMPLES):
        for file in source.rglob("*_wsh.py"):
            copy = root / "handlers" / file.relative_to(source)
            copy.parent.mkdir(exist_ok=True)
            copy.write_bytes(file.read_bytes())
    (root / "handlers" / "broken_wsh.py").write_text("def web_socket_do_extra_handshake(request:\n")
    (root / "handlers" / "ticker_wsh.py").unlink()
    (root / "outside_wsh.py").write_bytes((EXAMPLES / "echo_wsh.py").read_bytes())
    (root / "handlers" / "outside_wsh.py").symlink_to(root / "outside_wsh.py")
    (root / "map.txt").write_text("# comment\n/ /echo\n/alias /sub/deep\n\nbad\n/x /nowhere\n")
    documents = root / "documents"
    (documents / "cgi").mkdir(parents=True)
    (documents / "page.html").write_text("<p>page</p>")
    script = documents / "cgi" / "hi"
    script.write_text("#!/bin/sh\necho Content-Type: text/plain\necho\necho hi $QUERY_STRING\n")
    script.chmod(0o755)
    (documents / "cgi" / "plain").write_text("no program\n")
    # The original lets CGI programs run as nobody, if it may.
    for directory in (documents, documents / "cgi", *list(root.parents)[:2], root):
        directory.chmod(0o755)
    return root


def words(folder: Path) -> list[str]:
    return [
        *("-w", str(folder / "handlers"), "-d", str(folder / "documents")),
        *("-m", str(folder / "map.txt"), "-x", "/cgi", "--log-level", "info"),
        *("--validation-host", "right.example", "--validation-port", "81"),
    ]


@pytest.fixture(scope="module")
def original(folder: Path) -> Iterator[int]:
    with server(ORIGINAL, *words(folder)) as port:
        yield port


@pytest.fixture(scope="module")
def ours(folder: Path) -> Iterator[int]:
    with server(OURS, *words(folder)) as port:
        yield port


CLOSE = frame(8, b"\x03\xe8")
BYE = frame(1, b"Goodbye")
TALKS: dict[str, tuple[bytes, ...]] = {
    "text": (request("/echo"), frame(1, "h\u00e9llo".encode()), CLOSE),
    "binary": (request("/echo"), frame(2, b"\0\xff"), CLOSE),
    "empty": (request("/echo"), frame(1), frame(2), CLOSE),
    "126 octets": (request("/echo"), frame(2, bytes(126)), CLOSE),
    "66,000 octets": (
        request("/echo"),
        b"\x82\xff" + (66_000).to_bytes(8, "big") + bytes(66_004),
        CLOSE,
    ),
    "fragments": (request("/echo"), frame(1, b"a", fin=False), frame(0, b"b"), CLOSE),
    "goodbye": (request("/echo"), BYE, CLOSE),
    "goodbye without an answer": (request("/echo"), BYE, frame(1, b"no Close")),
    "alias": (request("/"), frame(1, b"x"), CLOSE),
    "alias of what is below": (request("/alias"), CLOSE),
    "below": (request("/sub/deep"), CLOSE),
    "query": (request("/echo?a=b"), CLOSE),
    "ping": (request("/echo"), frame(9, b"knock"), CLOSE),
    "pong unasked": (request("/echo"), frame(10, b"?"), CLOSE),
    "close without code": (request("/echo"), frame(8)),
    "close with a code": (request("/echo"), frame(8, b"\x0f\xa1why")),
    "close with one octet": (request("/echo"), frame(8, b"x")),
    "close with any code": (request("/echo"), frame(8, b"\0\0")),
    "close with bad text": (request("/close"), frame(8, b"\x0f\xa1\xff")),
    "not masked": (request("/echo"), b"\x81\x01x"),
    "bad text": (request("/echo"), frame(1, b"\xff"), CLOSE),
    "reserved bit": (request("/echo"), frame(1, b"x", rsv=4), CLOSE),
    "unknown opcode": (request("/echo"), frame(3, b"x"), CLOSE),
    "unknown control opcode": (request("/echo"), frame(11, b"x"), CLOSE),
    "continuation of nothing": (request("/echo"), frame(0, b"x"), CLOSE),
    "message in message": (request("/echo"), frame(1, b"x", fin=False), frame(1, b"y"), CLOSE),
    "long control frame": (request("/echo"), frame(9, bytes(126)), CLOSE),
    "control frame in parts": (request("/echo"), frame(9, b"x", fin=False), CLOSE),
    "close 4001": (request("/close"), frame(1, b"4001 so long"), CLOSE),
    "close 1005": (request("/close"), frame(1, b"1005 x"), CLOSE),
    "mirrored": (request("/close"), frame(8, b"\x0f\xa1why")),
    "mirrored empty": (request("/close"), frame(8)),
    "cookie": (request("/cookie?set"), CLOSE),
    "cookie http only": (request("/cookie?set_httponly"), CLOSE),
    "cookie cleared": (request("/cookie?clear"), CLOSE),
    "hsts": (request("/hsts"), CLOSE),
    "origin": (request("/origin_check", "Origin: http://example.com"), CLOSE),
    "foreign origin": (request("/origin_check", "Origin: http://a.example"),),
    "no origin": (request("/origin_check"),),
    "abort in handshake": (request("/abort_handshake"),),
    "abort": (request("/abort"),),
    "internal error": (request("/internal_error"), CLOSE),
    "no extensions": (
        request("/echo_noext", "Sec-WebSocket-Extensions: permessage-deflate"),
        frame(1, b"x"),
        CLOSE,
    ),
}

REFUSED: dict[str, tuple[bytes, ...]] = {
    "no upgrade": (request("/echo", without="Upgrade"),),
    "no connection": (request("/echo", without="Connection"),),
    "no host": (request("/echo", without="Host"),),
    "no key": (request("/echo", without="Sec-WebSocket-Key"),),
    "no version": (request("/echo", without="Sec-WebSocket-Version"),),
    "other upgrade": (request("/echo", "Upgrade: h2c"),),
    "other connection": (request("/echo", "Connection: keep-alive"),),
    "connection list": (request("/echo", "Connection: keep-alive, Upgrade"), CLOSE),
    "bad connection": (request("/echo", "Connection: @"),),
    "version 8": (request("/echo", "Sec-WebSocket-Version: 8"),),
    "versions": (request("/echo", "Sec-WebSocket-Version: 13, 8"),),
    "short key": (request("/echo", "Sec-WebSocket-Key: AAAA"),),
    "key with bits": (request("/echo", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAB=="),),
    "two keys": (request("/echo", f"Sec-WebSocket-Key: {KEY}, {KEY}"),),
    "post": (request("", line="POST /echo HTTP/1.1"),),
    "http 1.0": (request("", line="GET /echo HTTP/1.0"),),
    "plain": (b"GET /echo HTTP/1.1\r\nHost: x\r\n\r\n",),
    "fragment": (request("/echo#x"),),
    "protocol asked": (request("/echo", "Sec-WebSocket-Protocol: a, b"), CLOSE),
    "protocol not chosen": (request("/close", "Sec-WebSocket-Protocol: a"),),
    "protocols that are none": (request("/echo", "Sec-WebSocket-Protocol: @"),),
    "extensions that are none": (request("/echo", "Sec-WebSocket-Extensions: ;"),),
    "absolute": (request("ws://right.example:81/echo"), CLOSE),
    "absolute, other host": (request("ws://wrong.example:81/echo"),),
    "absolute, other port": (request("ws://right.example/echo"),),
    "absolute, bad port": (request("ws://right.example:x/echo"),),
    "broken handler": (request("/broken"),),
    "lacking handler": (request("/lacking"),),
    "handler outside": (request("/outside"),),
    "not found": (request("/none"),),
    "file": (b"GET /page.html HTTP/1.1\r\nHost: x\r\n\r\n",),
    "head": (b"HEAD /page.html HTTP/1.1\r\nHost: x\r\n\r\n",),
    "listing": (b"GET /cgi/ HTTP/1.1\r\nHost: x\r\n\r\n",),
    "listing without slash": (b"GET /cgi HTTP/1.1\r\nHost: x\r\n\r\n",),
    "program": (b"GET /cgi/hi?there HTTP/1.1\r\nHost: x\r\n\r\n",),
    "no program": (b"GET /cgi/plain HTTP/1.1\r\nHost: x\r\n\r\n",),
    "put": (b"PUT /page.html HTTP/1.1\r\nHost: x\r\n\r\n",),
    "post to a file": (b"POST /page.html HTTP/1.1\r\nHost: x\r\n\r\n",),
    "no request": (b"nonsense\r\n\r\n",),
    "version of http": (b"GET / HTTP/2.0\r\n\r\n",),
    "version that is none": (b"GET / HTTQ/1.1\r\n\r\n",),
    "too many headers": (
        b"GET / HTTP/1.1\r\n" + b"".join(b"A%d: b\r\n" % n for n in range(120)) + b"\r\n",
    ),
}

ENDING = [
    *("status", "any", "abort", "own answer", "own 101", "protocol unasked", "close raw"),
    *("abort late", "raise"),
]
CLOSED = [
    *("fragments", "close 1001", "close 1000 fine", "close None", "close 999"),
    *("close None x", "close 5000", "close 1006", "close 4999 " + "x" * 124, "after close"),
    *("after end", "many", "threads", "sender", "extra headers", "garbage", "passive abort"),
    *("passive mirror", "passive empty", "passive reason only", "passive code", "types"),
]
WISHES: dict[str, tuple[bytes, ...]] = {
    **dict.fromkeys(ENDING, ()),
    **dict.fromkeys(CLOSED, (CLOSE,)),
    "ping": (frame(10, b"hello"), CLOSE),
    "own pong": (frame(9, b"body"), CLOSE),
    "opcodes": (frame(1, b"x"), frame(2, b"x"), frame(9), frame(1, b"x"), CLOSE),
    "raw": (b"abcdefg", CLOSE),
    "filtered": (frame(2, b"payload"), CLOSE),
    "close 3000": (frame(1, b"instead of Close"), CLOSE),
}


@pytest.mark.parametrize("name", [*TALKS, *REFUSED])
def test_both_answer_alike(name: str, original: int, ours: int) -> None:
    parts = (TALKS | REFUSED)[name]
    expected = converse(original, *parts)
    assert converse(ours, *parts) == expected
    assert expected or name == "abort in handshake"


@pytest.mark.parametrize("said", WISHES)
def test_handlers_find_what_they_know(said: str, original: int, ours: int) -> None:
    parts = (request(f"/wish?{said.replace(' ', '%20')}"), *WISHES[said])
    expected = converse(original, *parts)
    assert converse(ours, *parts) == expected
    assert expected or said == "abort"


@pytest.mark.parametrize(
    ("said", "headers"),
    [
        ("protocol none", ("Sec-WebSocket-Protocol: a",)),
        ("protocol first", ("Sec-WebSocket-Protocol: a, b",)),
        ("protocol bad", ("Sec-WebSocket-Protocol: a",)),
        ("no extensions", ("Sec-WebSocket-Extensions: permessage-deflate",)),
        ("facts", ("Sec-WebSocket-Protocol: a", "X-Test: one")),
        ("facts", ("Sec-WebSocket-Extensions: permessage-deflate", "Origin: http://o.example")),
    ],
)
def test_handlers_see_and_choose(
    said: str, headers: tuple[str, ...], original: int, ours: int
) -> None:
    parts = (request(f"/wish?{said.replace(' ', '%20')}", *headers), CLOSE)
    expected = uncompressed(converse(original, *parts))
    assert uncompressed(converse(ours, *parts)) == expected


def uncompressed(came: bytes) -> Any:
    """Head and messages: compressed octets depend on the version of zlib."""
    import zlib

    head, _, rest = came.partition(b"\r\n\r\n")
    if b"permessage-deflate" not in head:
        return came
    inflater = zlib.decompressobj(-15)
    found = []
    while rest:
        first, length, at = rest[0], rest[1], 2
        if length > 125:
            size = 2 if length == 126 else 8
            length, at = int.from_bytes(rest[2 : 2 + size], "big"), 2 + size
        payload, rest = rest[at : at + length], rest[at + length :]
        if first & 0x40:
            payload = inflater.decompress(payload + b"\0\0\xff\xff")
        found.append((first, payload))
    return head, found


OFFERS = [
    "permessage-deflate",
    "permessage-deflate; client_max_window_bits",
    "permessage-deflate; client_max_window_bits=10",
    "permessage-deflate; server_max_window_bits=9",
    "permessage-deflate; server_max_window_bits=8",
    "permessage-deflate; server_max_window_bits=08",
    "permessage-deflate; server_max_window_bits",
    "permessage-deflate; server_no_context_takeover",
    "permessage-deflate; server_no_context_takeover=1",
    "permessage-deflate; client_no_context_takeover",
    "permessage-deflate; unknown",
    "permessage-deflate; unknown, permessage-deflate; server_max_window_bits=12",
    'permessage-deflate; server_max_window_bits="10"',
    "x-webkit-deflate-frame, permessage-deflate",
    "unknown; a=b",
]


@pytest.mark.parametrize("said", ["echo", "plain", "window", "no context"])
@pytest.mark.parametrize("offer", OFFERS)
def test_permessage_deflate(offer: str, said: str, original: int, ours: int) -> None:
    import zlib

    deflater = zlib.compressobj(wbits=-15)
    packed = (deflater.compress(b"x" * 50) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
    target = f"/wish?{said.replace(' ', '%20')}"
    head = request(target, f"Sec-WebSocket-Extensions: {offer}")
    parts = (head, frame(1, packed, rsv=4), frame(2, b"plain"), CLOSE)
    assert uncompressed(converse(ours, *parts)) == uncompressed(converse(original, *parts))


# -- what differs on purpose, and why

BETTER: dict[str, tuple[tuple[bytes, ...], bytes]] = {
    # RFC 6455 section 5.4: control frames may come between the fragments of a message.
    "ping in a message": (
        (request("/echo"), frame(1, b"a", fin=False), frame(9, b"!"), frame(0, b"b"), CLOSE),
        b"\x8a\x01!\x81\x02ab\x88\x02\x03\xe8",
    ),
}


@pytest.mark.parametrize("name", BETTER)
def test_better(name: str, ours: int) -> None:
    parts, expected = BETTER[name]
    assert converse(ours, *parts).endswith(b"\r\n\r\n" + expected)


@pytest.mark.parametrize(
    "path", ["/../handlers/echo_wsh.py", "/%2e%2e/map.txt", "/cgi/../../map.txt"]
)
def test_nothing_outside_of_the_document_root_is_served(
    path: str, original: int, ours: int
) -> None:
    ask = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    assert converse(original, ask) == b""  # it fails
    assert converse(ours, ask).startswith(b"HTTP/1.0 404 ")


@pytest.mark.parametrize(
    "parts",
    [
        (request("/echo").replace(b"\r\n\r\n", b"\r\nno colon\r\n\r\n", 1),),
        (request("/echo").replace(b"Host", b"A: b\r\n  c\r\nHost", 1),),
        (request("/echo").replace(b"Host", f"Sec-WebSocket-Key: {KEY}\r\nHost".encode(), 1),),
        (request("/echo").replace(b"Host", b"Host: b\r\nHost", 1),),
    ],
    ids=["no colon", "continued line", "two keys", "two hosts"],
)
def test_ambiguous_heads_are_refused(parts: tuple[bytes, ...], original: int, ours: int) -> None:
    assert converse(original, *parts, CLOSE).startswith(b"HTTP/1.1 101 ")
    assert converse(ours, *parts, CLOSE).startswith(b"HTTP/1.0 400 ")


def test_a_thread_that_receives(original: int, ours: int) -> None:
    for port in (original, ours):
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
            sock.sendall(request("/wish?receiver") + frame(1, b"a") + frame(1, b"b"))
            came = b""
            while not came.endswith(b"\x81\x05got a\x81\x05got b"):
                came += sock.recv(65536)
            sock.sendall(CLOSE)
            assert sock.recv(4, socket.MSG_WAITALL) == b"\x88\x02\x03\xe8"
