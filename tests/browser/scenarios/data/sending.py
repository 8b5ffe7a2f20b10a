"""send() in every state, of every kind of data."""

from __future__ import annotations

from ..language import Step, close, new, octets, on, read, repeat, scenario, send, wait, zeros

TEXTS = {
    "ascii": "Hello WebSockets!",
    "empty": "",
    "two octets": "é",
    "three octets": "文字",
    "four octets": "🌍",
    "nul": "a\0b",
    "bom": "\ufeffx",
    "lone high surrogate": "a\ud800b",
    "lone low surrogate": "a\udc00b",
    "surrogates in wrong order": "\udc00\ud800",
    "a pair in two halves": "\ud83c\udf0d",
    "noncharacters": "\uffff\ufffe",
    "line ends": "a\r\nb\nc\r",
}

BINARIES: dict[str, Step] = {
    "ArrayBuffer": octets(b"\x00\x01\xfe\xff", "ArrayBuffer"),
    "empty ArrayBuffer": octets(b"", "ArrayBuffer"),
    "Uint8Array": octets(b"\x01\x02\x03"),
    "window of a Uint8Array": octets(b"\x01\x02\x03", of=5),
    "empty window": octets(b"", of=3),
    "window of a Uint16Array": octets(b"\x01\x02\x03\x04", "Uint16Array", of=4),
    "Int8Array": octets(b"\x80\x7f", "Int8Array"),
    "Float64Array": octets(bytes(16), "Float64Array"),
    "window of a DataView": octets(b"\x01\x02\x03", "DataView", of=1),
    "Blob": octets(b"\x01\x02\x03", "Blob"),
    "empty Blob": octets(b"", "Blob"),
}

SIZES = (125, 126, 65535, 65536, 200_000)
BOTH = ("ours", "npm")

SCENARIOS = [
    *(
        scenario(
            f"send text, {name}",
            new(),
            on("open", send(text)),
            on("message", close()),
            wait("close"),
            servers=BOTH,
        )
        for name, text in TEXTS.items()
    ),
    *(
        scenario(
            f"send {name}",
            new(),
            on("open", send(data)),
            on("message", close(1000)),
            wait("close"),
            servers=BOTH,
        )
        for name, data in BINARIES.items()
    ),
    *(
        scenario(
            f"send {size} {what}",
            new(),
            on("open", send(repeat("x", size) if what == "characters" else zeros(size))),
            on("message", close(1000)),
            wait("close"),
            servers=BOTH,
        )
        for size in SIZES
        for what in ("characters", "octets")
    ),
    scenario(
        "send while connecting",
        new(),
        send("x"),
        send(octets(b"x")),
        send(octets(b"x", "Blob")),
        read("bufferedAmount", "readyState"),
        close(),
        wait("close"),
    ),
    scenario(
        "send without data",
        new(),
        send(),
        on("open", send(), read("readyState", "bufferedAmount"), close(), send()),
        wait("close"),
        send(),
    ),
    scenario(
        "send in the turn of close and after it",
        new(),
        on("open", send("first"), close(1000), send("second")),
        wait("close"),
        send("third"),
        read("readyState"),
        servers=BOTH,
    ),
    scenario(
        "send in the handlers of error and close",
        new("ws://{refused}/", raw=True),
        on("error", send("1")),
        on("close", send("23"), read("bufferedAmount")),
        wait("close"),
    ),
    scenario(
        "send after the server's Close",
        new("/close?code=4000"),
        wait("close"),
        send("x"),
        read("readyState", "bufferedAmount"),
    ),
    scenario(
        "order is kept across types",
        new("/count"),
        on(
            "open",
            send("a"),
            send(octets(b"12", "Blob")),
            send("ccc"),
            send(octets(b"1234")),
            send(octets(b"12345", "Blob")),
            send(repeat("x", 70_000)),
            send(octets(b"", "Blob")),
            send(""),
        ),
        wait("message", 8),
        close(),
        wait("close"),
        servers=BOTH,
        in_flight=True,
    ),
    scenario(
        "a Blob is sent before the Close frame",
        new("/count"),
        on("open", send(octets(b"1234", "Blob")), close(3000, "after the blob")),
        wait("close"),
        servers=BOTH,
    ),
    scenario(
        "a canvas of 400 by 320",
        new("/count"),
        on("open", send(zeros(400 * 320 * 4, "Uint8Array"))),
        on("message", close()),
        wait("close"),
    ),
]
