"""Everything that fails: connecting, the handshake, the protocol, TCP."""

from __future__ import annotations

from ..language import new, read, scenario, wait
from ..servers import ACCEPTING, CUTS, FAULTS, HEADS, PROTOCOLS

ASKED = ["chat.v1", "chat.v2"]
BLOCKED = (1, 22, 25, 6000, 6667, 10080)

SCENARIOS = [
    scenario("nobody listens", new("ws://{refused}/", raw=True), wait("close"), read("url")),
    scenario("no such host", new("ws://nowhere.invalid/", raw=True), wait("close")),
    *(
        scenario(f"port {port} is blocked", new(f"ws://127.0.0.1:{port}/", raw=True), wait("close"))
        for port in BLOCKED
    ),
    scenario("a certificate of nobody's", new("wss://{tls}/echo", raw=True), wait("close")),
    scenario("TLS to a plain port", new("wss://{ours}/echo", raw=True), wait("close")),
    scenario("no TLS to a port with TLS", new("ws://{tls}/echo", raw=True), wait("close")),
    *(
        scenario(f"the answer is {name}", new(f"/{name}"), wait("close"), servers=("raw",))
        for name in HEADS
    ),
    *(
        scenario(
            f"the answer has {name}",
            new(f"/{name}", ASKED),
            wait("close"),
            read("protocol"),
            servers=("raw",),
        )
        for name in PROTOCOLS
    ),
    *(
        scenario(f"the answer is right: {name}", new(f"/{name}"), wait("close"), servers=("raw",))
        for name in ACCEPTING
    ),
    *(
        scenario(f"the server says {name}", new(f"/{name}"), wait("close"), servers=("raw",))
        for name in FAULTS
    ),
    *(
        scenario(f"TCP is {name}", new(f"/{name}"), wait("close"), servers=("raw",))
        for name in (*CUTS, "reset")
    ),
    scenario("TCP is dropped", new("/drop"), wait("close"), servers=("ours", "npm")),
]
