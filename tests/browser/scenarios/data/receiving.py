"""message: what comes, in which form, and when it no longer comes."""

from __future__ import annotations

from ..language import assign, close, new, octets, on, read, scenario, send, wait
from ..servers import GOOD

SCENARIOS = [
    *(
        scenario(f"receive {name}", new(f"/{name}"), wait("close"), servers=("raw",))
        for name in GOOD
    ),
    scenario(
        "the server speaks first",
        new("/greet"),
        wait("message", 2),
        close(),
        wait("close"),
        servers=("ours", "npm"),
    ),
    scenario(
        "messages as ArrayBuffer",
        new("/greet"),
        assign("binaryType", "arraybuffer"),
        wait("message", 2),
        close(),
        wait("close"),
        servers=("ours", "npm"),
    ),
    scenario(
        "binaryType may change with every message",
        new(),
        wait("open"),
        send(octets(b"\x01")),
        wait("message"),
        assign("binaryType", "arraybuffer"),
        send(octets(b"\x02\x03")),
        wait("message", 2),
        assign("binaryType", "blob"),
        send(octets(b"\x04")),
        wait("message", 3),
        close(),
        wait("close"),
    ),
    scenario(
        "binaryType is looked at when a message is handled",
        new("/greet"),
        on("message", assign("binaryType", "arraybuffer")),
        wait("message", 2),
        close(),
        wait("close"),
    ),
    scenario(
        "binary data of no length",
        new(),
        assign("binaryType", "arraybuffer"),
        on("open", send(octets(b""))),
        on("message", close()),
        wait("close"),
    ),
    scenario(
        "no message after close was called",
        new("/echo"),
        on("open", send("never heard"), close()),
        wait("close"),
        servers=("ours", "npm"),
    ),
    scenario(
        "no message after close was called in the handler of one",
        new("/greet"),
        on("message", close(), read("readyState")),
        wait("close"),
        servers=("ours", "npm"),
    ),
    scenario(
        "a message instead of the answer to Close",
        new("/answer-after-message"),
        on("open", close()),
        wait("close"),
        servers=("raw",),
    ),
    scenario(
        "a message after the server's Close",
        new("/close-then-message"),
        wait("close"),
        servers=("raw",),
    ),
    scenario(
        "messages are handled in order",
        new(),
        on("open", *(send(str(number)) for number in range(20))),
        wait("message", 20),
        close(1000),
        wait("close"),
        servers=("ours", "npm"),
        in_flight=True,
    ),
]
