"""close() in every state with every argument, and the Close frames of servers."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from ..language import (
    INFINITY,
    NAN,
    UNDEFINED,
    Step,
    close,
    new,
    octets,
    on,
    read,
    repeat,
    scenario,
    send,
    wait,
)

#: Arguments of close() that it refuses.
REFUSED: list[list[Any]] = [
    [0],
    [1],
    [500],
    [999],
    [1001],
    [1002],
    [1003],
    [1004],
    [1005],
    [1006],
    [1011],
    [1015],
    [2000],
    [2999],
    [5000],
    [65535],
    [65536],
    [66536],
    [-1],
    [999.4],
    [2999.5 - 0.1],
    [4999.6],
    [NAN],
    [INFINITY],
    ["x"],
    [""],
    ["only a reason"],
    ["999"],
    ["1_000"],
    ["0x+BB8"],
    [True],
    [False],
    [1000, repeat("x", 124)],
    [3000, repeat("é", 62)],
    [3000, repeat("文", 42)],
    [3000, repeat("\ud800", 42)],
    [5000, repeat("x", 124)],
    [UNDEFINED, repeat("x", 124)],
]

#: Arguments of close() that it takes.
TAKEN: list[list[Any]] = [
    [],
    [UNDEFINED],
    [UNDEFINED, UNDEFINED],
    [1000],
    [1000, UNDEFINED],
    [1000, ""],
    [1000, "Closing normally!"],
    [3000],
    [3999, "library"],
    [4000, "κόσμε"],
    [4999, repeat("x", 123)],
    [3000, repeat("文", 41)],
    [3000, "a\ud800b"],
    [3000, "🌍"],
    [3000, "a\0b"],
    ["1000"],
    [" 3000 ", "text is read as a number"],
    ["4e3"],
    ["0xBB8"],
    [999.5],
    [1000.4],
    [2999.6],
    [3000.5],
    [3001.5],
]

CODES = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000)
RAW_CODES = (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1999, 2000, 2999, 3000, 4999, 5000, 65535)


def label(arguments: list[Any]) -> str:
    return ", ".join(
        f"{one['times']} x {one['repeat']!a}"
        if isinstance(one, dict) and "repeat" in one
        else one.get("number", "undefined")
        if isinstance(one, dict)
        else f"{one!a}"
        for one in arguments
    )


def in_every_state(*arguments: Any) -> list[Step]:
    return [
        new("/echo"),
        close(*arguments),
        read("readyState"),
        on("open", close(*arguments), read("readyState"), close(1000), close(*arguments)),
        wait("close"),
        close(*arguments),
        read("readyState"),
    ]


SCENARIOS = [
    *(
        scenario(f"close({label(arguments)}) is refused", *in_every_state(*arguments))
        for arguments in REFUSED
    ),
    *(
        scenario(
            f"close({label(arguments)})",
            new("/echo"),
            on("open", close(*arguments), read("readyState"), close(4999, "was refused")),
            wait("close"),
            servers=("ours", "npm"),
        )
        for arguments in TAKEN
    ),
    *(
        scenario(
            f"the server closes with {code}",
            new(f"/close?code={code}&reason={quote('bécause')}"),
            wait("close"),
            servers=("ours", "npm"),
        )
        for code in CODES
    ),
    scenario(
        "the server closes without a reason",
        new("/close?code=1000"),
        wait("close"),
        servers=("ours", "npm"),
    ),
    scenario(
        "the server closes without a code", new("/close-empty"), wait("close"), servers=("raw",)
    ),
    scenario("npm closes without a code", new("/close"), wait("close"), servers=("npm",)),
    *(
        scenario(
            f"a Close frame with {code}", new(f"/close/{code}/"), wait("close"), servers=("raw",)
        )
        for code in RAW_CODES
    ),
    *(
        scenario(
            f"a Close frame whose reason has {what}",
            new(f"/close/4000/{reason.encode().hex()}"),
            wait("close"),
            servers=("raw",),
        )
        for what, reason in {
            "123 octets": "r" * 123,
            "other characters": "κόσμε🌍",
            "a NUL": "a\0b",
            "a byte order mark": "\ufeffx",
        }.items()
    ),
    scenario(
        "close while connecting",
        new("/echo"),
        close(),
        read("readyState"),
        on("error", read("readyState")),
        on("close", read("readyState")),
        wait("close"),
        read("readyState"),
    ),
    scenario(
        "close with a code while connecting",
        new("/echo"),
        close(3000, "never told"),
        read("readyState"),
        wait("close"),
    ),
    scenario(
        "close while connecting to nobody",
        new("ws://{refused}/", raw=True),
        close(),
        read("readyState"),
        wait("close"),
    ),
    scenario(
        "close twice",
        new("/echo"),
        on("open", close(3000, "first"), close(4000, "second"), close()),
        wait("close"),
        close(),
        close(1000),
        read("readyState"),
        servers=("ours", "npm"),
    ),
    scenario(
        "close in the handlers of error and close",
        new("ws://{refused}/", raw=True),
        on("error", close(), read("readyState")),
        on("close", close(), close(3000), read("readyState")),
        wait("close"),
    ),
    scenario(
        "close after the server's Close",
        new("/close?code=4001"),
        on("close", close(1000), read("readyState")),
        wait("close"),
    ),
    scenario(
        "what is queued goes before the Close frame",
        new("/count"),
        on("open", send(repeat("x", 100_000)), send(octets(b"123")), close(3000, "done")),
        wait("close"),
        servers=("ours", "npm"),
    ),
    scenario(
        "the server answers a message with Close",
        new("/close-on-message?code=1008&reason=no"),
        on("open", send("please")),
        wait("close"),
        servers=("ours", "npm"),
    ),
    scenario(
        "the answer to Close is late",
        new("/answer-late"),
        on("open", close(3000)),
        wait("close"),
        servers=("raw",),
    ),
    scenario(
        "the server answers with another code",
        new("/answer-other-code"),
        on("open", close(3000, "mine")),
        wait("close"),
        servers=("raw",),
    ),
    scenario(
        "the server answers without a code",
        new("/answer-empty"),
        on("open", close(3000, "mine")),
        wait("close"),
        servers=("raw",),
    ),
    scenario(
        "TCP ends instead of the answer to Close",
        new("/answer-none"),
        on("open", close(3000)),
        wait("close"),
        servers=("raw",),
    ),
]
