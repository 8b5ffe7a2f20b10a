"""The constructor: URLs, subprotocols, what it refuses."""

from __future__ import annotations

from ..language import UNDEFINED, close, new, note, on, read, repeat, scenario, wait

#: Characters that no name of a subprotocol may hold: separators, and what is outside 21 to 7E.
NO_TOKEN = '()<>@,;:\\"/[]?={} \t\x00\x01\x1f\x7f\x80é文'

WRONG_URLS = [
    "ws://foo bar.com/",
    "ftp://127.0.0.1/",
    "mailto:somebody@example.com",
    "about:blank",
    "javascript:1",
    "data:text/plain,x",
    "ws://",
    "ws:///",
    "ws://h:65536/",
    "ws://h:x/",
    "ws://[::1/",
    "ws://1.2.3.256/",
    "ws://a<b/",
    "ws://%zz/",
    "ws://h/#",
    "ws://h/#part",
    "http://h/path?query#part",
    "wss://h#",
]

RIGHT_URLS = [
    "ws://127.0.0.1:9",
    "WS://127.0.0.1:80",
    "wss://127.0.0.1:443/a/../b/./c",
    "ws://127.0.0.1:443/",
    "wss://127.0.0.1:80/",
    "http://127.0.0.1/x",
    "https://127.0.0.1:443/a?é",
    "HTTPS://127.0.0.1:444",
    "  ws://127.0.0.1:9/trimmed\t",
    "ws:127.0.0.1:9/no-slashes",
    "ws:/127.0.0.1:9/one-slash",
    "ws:\\\\127.0.0.1:9\\back\\slashes",
    "ws://127.0.0.1:9/a\tb\nc",
    "ws://127.0.0.1:9/a b?c d",
    "ws://127.0.0.1:9/%7e%zz?%zz'\"<>",
    "ws://127.0.0.1:9/文?文&é=\ud800",
    "ws://name:word@127.0.0.1:9/",
    "ws://127.0.0.1:9?",
    "ws://127.1:9/",
    "ws://0x7f.0.0.1:9/",
    "ws://2130706433:9/",
    "ws://127.0.0.1:0009/",
    "ws://[::1]:9/",
    "ws://[0:0:0:0:0:0:0:1]:9/",
    "ws://１２７.0.0.1:9/",
]

SCENARIOS = [
    *(scenario(f"url {url!a} is refused", new(url, raw=True)) for url in WRONG_URLS),
    *(
        scenario(
            f"url {url!a}",
            new(url, raw=True),
            read("url", "readyState", "bufferedAmount", "protocol", "extensions", "binaryType"),
            close(),
            wait("close"),
            read("url"),
        )
        for url in RIGHT_URLS
    ),
    *(
        scenario(
            f"relative url {url!r}",
            new(url, raw=True),
            read("url"),
            close(),
            wait("close"),
            base=True,
        )
        for url in ("", "?q", "other", "../up", "/rooted", "//127.0.0.1:9/other")
    ),
    *(
        scenario(f"relative url {url!r} is refused", new(url, raw=True), base=True)
        for url in ("#", "#test", "/#", "/test#test", "ftp:x")
    ),
    *(
        scenario(f"protocol with {ord(character):02x}", new("ws://127.0.0.1:9", f"a{character}b"))
        for character in NO_TOKEN
    ),
    *(
        scenario(f"protocols {protocols!r} are refused", new("ws://127.0.0.1:9", protocols))
        for protocols in (
            "",
            [""],
            ["a", "a"],
            ["a", "A"],
            ["a", "b", "a"],
            ["a", ""],
            ["a b"],
            "a,b",
        )
    ),
    *(
        scenario(
            f"protocols {protocols!r} agree",
            new("/echo", protocols),
            read("protocol"),
            on("open", read("protocol"), close()),
            wait("close"),
            read("protocol"),
            servers=("ours", "npm"),
        )
        for protocols in ("chat.v1", ["chat.v1"], ["other", "chat.v1"], ["chat.v1", "chat.v2"], [])
    ),
    scenario(
        "protocols undefined are none", new("/echo", UNDEFINED), on("open", close()), wait("close")
    ),
    scenario(
        "protocols with all characters of a token",
        new("/echo", ["chat.v1", "!#$%&'*+-.^_`|~09azAZ"]),
        on("open", read("protocol"), close()),
        wait("close"),
    ),
    scenario("no url", {"new": [], "ws": "ws"}),
    scenario("a wrong url comes before wrong protocols", new("ws://h#", ["a", "a"], raw=True)),
    scenario(
        "a long url",
        new("/echo?" + "x" * 2000),
        on("open", close()),
        wait("close"),
    ),
    scenario(
        "events wait for the end of the turn",
        new("/greet"),
        note("handlers are set only now"),
        on("open", note("open")),
        on("message", note("message")),
        wait("message", 2),
        close(),
        wait("close"),
    ),
    scenario(
        "two sockets",
        new("/echo"),
        wait("open"),
        new("/echo?second", ws="b"),
        wait("open", ws="b"),
        close(3001),
        wait("close"),
        close(3002, ws="b"),
        wait("close", ws="b"),
        read("readyState"),
        read("readyState", ws="b"),
    ),
    scenario(
        "more arguments than two are ignored",
        new("/echo", "chat.v1", "more", 3),
        on("open", read("protocol"), close()),
        wait("close"),
    ),
    scenario(
        "constants of the class", read("CONNECTING", "OPEN", "CLOSING", "CLOSED", ws="WebSocket")
    ),
    scenario(
        "protocol that is too long to print",
        new("ws://127.0.0.1:9", repeat("a", 300)),
        close(),
        wait("close"),
    ),
]
