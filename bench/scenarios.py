"""The scenarios: what the generator does to a server, and which figure counts."""

from __future__ import annotations

from dataclasses import dataclass, field

from peers import BROADCAST, DEFLATE, TLS

#: Figures: messages per second (more is better), CPU per message and memory (less is better).
RATE, CPU, MEMORY, TAIL = "per_second", "cpu_us", "kb", "p999_us"
UNITS = {RATE: "messages/s", CPU: "µs CPU/message", MEMORY: "KB/connection", TAIL: "µs p99.9"}


@dataclass(frozen=True)
class Scenario:
    """One table of the results."""

    key: str
    title: str
    arguments: tuple[str, ...]
    figure: str = RATE
    needs: frozenset[str] = field(default_factory=frozenset)
    #: Servers that a target names besides raw epoll and picows.
    named: tuple[str, ...] = ()
    #: What a run with a budget measures here besides: all peers, tuned rows, our rows on other
    #: loops than our own.
    everyone: bool = False
    tuned: bool = False
    loops: bool = False
    #: Whether a run with a budget measures it at all.
    spare: bool = False
    #: Seconds that a measurement lasts at least: rare things must have time to happen.
    least: float = 0.0

    @property
    def deflate(self) -> bool:
        """Whether permessage-deflate is to be negotiated."""
        return DEFLATE in self.needs

    @property
    def more_is_better(self) -> bool:
        """How to read the figure."""
        return self.figure == RATE


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


#: Peers that the picture shows beside picows.
PICTURED = (
    "websockets (uvloop)",
    "aiohttp (uvloop)",
    "uvicorn websockets-sansio",
    "socketify",
    "bun",
    "node ws",
)

_ALL = [
    Scenario("a", "1 connection, ping-pong, 32 B", _words("echo"), tuned=True, loops=True),
    Scenario(
        "b",
        "100 connections, ping-pong, 32 B",
        _words("echo --connections 100"),
        named=("websockets", "websockets (uvloop)"),
        everyone=True,
        tuned=True,
        loops=True,
    ),
    Scenario(
        "c",
        "100 connections, 16 in flight, 32 B",
        _words("echo --connections 100 --depth 16"),
        named=PICTURED,
        tuned=True,
        loops=True,
    ),
    Scenario(
        "d",
        "10 connections, 16 KiB",
        _words("echo --connections 10 --size 16384"),
        named=PICTURED,
        loops=True,
    ),
    Scenario(
        "e",
        "10 connections, 1 MiB",
        _words("echo --connections 10 --size 1048576"),
        CPU,
        tuned=True,
        loops=True,
    ),
    Scenario(
        "f",
        "1000 connections, 128 B",
        _words("echo --connections 1000 --size 128"),
        named=PICTURED,
        loops=True,
    ),
    Scenario(
        "g",
        "idle memory, one message exchanged",
        _words("idle --connections 5000 --messages 1"),
        MEMORY,
        named=("websockets", "bun"),
        loops=True,
    ),
    Scenario(
        "h",
        "broadcast to 1000, 2 at a time, 32 B (deliveries)",
        _words("broadcast --path /broadcast --connections 1000 --depth 2"),
        needs=frozenset({BROADCAST}),
        named=("socketify", "bun"),
        loops=True,
    ),
    Scenario(
        "h16",
        "broadcast to 1000, 16 at a time, 32 B (deliveries)",
        _words("broadcast --path /broadcast --connections 1000 --depth 16"),
        needs=frozenset({BROADCAST}),
        named=("socketify", "bun"),
    ),
    Scenario(
        "i",
        "connect, upgrade, close; 16 at a time",
        _words("handshake --connections 16"),
        named=("socketify",),
        loops=True,
    ),
    Scenario(
        "text",
        "100 connections, ping-pong, 32 B of text",
        _words("echo --connections 100 --text"),
        spare=True,
    ),
    Scenario(
        "deflate",
        "100 connections, 1 KiB of JSON, permessage-deflate",
        _words("echo --connections 100 --size 1024 --json --deflate"),
        needs=frozenset({DEFLATE}),
        named=("websockets", "websockets (uvloop)", "aiohttp (uvloop)", "bun"),
    ),
    Scenario(
        "tls-b",
        "100 connections, ping-pong, 32 B, TLS",
        _words("echo --connections 100 --tls"),
        needs=frozenset({TLS}),
    ),
    Scenario(
        "tls-d",
        "10 connections, 16 KiB, TLS",
        _words("echo --connections 10 --size 16384 --tls"),
        needs=frozenset({TLS}),
    ),
    Scenario(
        "i-tls",
        "connect, TLS, upgrade, close; 16 at a time",
        _words("handshake --connections 16 --tls"),
        needs=frozenset({TLS}),
    ),
    Scenario(
        "g-deflate",
        "idle memory, one compressed message exchanged",
        _words("idle --connections 2000 --messages 1 --size 1024 --json --deflate"),
        MEMORY,
        frozenset({DEFLATE}),
    ),
    Scenario(
        "g-tls",
        "idle memory with TLS, one message exchanged",
        _words("idle --connections 1000 --messages 1 --tls"),
        MEMORY,
        frozenset({TLS}),
    ),
    Scenario(
        "open",
        "1000 connections, constant rate of 70 % of the server's own maximum",
        _words("open --connections 1000"),
        TAIL,
        named=("bun",),
        least=0.7,
    ),
]

SCENARIOS = {scenario.key: scenario for scenario in _ALL}
QUICK = ("a", "b", "c", "d", "f")
