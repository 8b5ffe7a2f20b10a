"""Where a browser or undici does something else than `duologue.WebSocket`, and who is right.

Everything else must be the same, entry by entry. An item that makes no difference fails the tests,
so that none outlives its reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from .engines import Entry
from .language import Scenario


@dataclass(frozen=True)
class Difference:
    """One thing that an engine does differently.

    Attributes:
        engine: ``chromium`` or ``undici``.
        why: What it does, and what says that it should not.
        scenarios: Names, or patterns of names, without the server.
        fields: What isn't compared: fields of events, attributes that are read or described.
        entries: What isn't compared: kinds of entries, such as ``raised``, or types of events.
        all: Whether nothing is compared.
        sometimes: Whether it depends on the moment, so that it may make no difference.
    """

    engine: str
    why: str
    scenarios: tuple[str, ...]
    fields: frozenset[str] = frozenset()
    entries: frozenset[str] = frozenset()
    all: bool = False
    sometimes: bool = False

    def concerns(self, engine: str, scenario: str) -> bool:
        """Tell whether it is about a scenario, whose name may have the server behind it."""
        plain = scenario.rpartition(" [")[0]
        return engine == self.engine and any(
            one in (plain, scenario) or fnmatchcase(plain, one) for one in self.scenarios
        )

    def apply(self, log: list[Entry]) -> list[Entry]:
        """Return what is left to compare."""
        if self.all:
            return []
        return [self._apply(entry) for entry in log if not self._leaves_out(entry)]

    def _leaves_out(self, entry: Entry) -> bool:
        return (
            not self.entries.isdisjoint(entry)
            or entry.get("event") in self.entries
            or entry.get("read") in self.fields
        )

    def _apply(self, entry: Entry) -> Entry:
        if "about" in entry:
            return {"about": self._apply(entry["about"])}
        return {name: value for name, value in entry.items() if name not in self.fields}


def in_flight(scenario: Scenario, log: list[Entry]) -> list[Entry]:
    """Leave out `bufferedAmount` at messages where it depends on the moment."""
    if not scenario.in_flight:
        return log
    return [
        {name: value for name, value in entry.items() if name != "bufferedAmount"}
        if entry.get("event") == "message"
        else entry
        for entry in log
    ]


CONVERSION = "Web IDL, [Clamp]: a number is rounded to the nearest, and to the even one of two. "
SHORTENED = ("close(999.5)", "close(2999.6)", "close(3001.5)", "close(4999.6) is refused")

DIFFERENCES = [
    Difference(
        "chromium",
        "It escapes spaces in hosts. URL standard: a space is a forbidden host code point.",
        ("url 'ws://foo bar.com/' is refused",),
        all=True,
    ),
    Difference(
        "chromium",
        "It takes subprotocols that differ only in case. Web platform tests: that is a repetition.",
        ("protocols ['a', 'A'] are refused",),
        all=True,
    ),
    Difference("chromium", CONVERSION + "It cuts fractions off.", SHORTENED, all=True),
    Difference(
        "chromium",
        "It reads undefined as code 0 where a reason follows. Web IDL: undefined is no argument.",
        ("close(undefined, 124 x 'x') is refused",),
        fields=frozenset({"raised", "code"}),
    ),
    Difference(
        "undici",
        "It fails a connection that is closed with a code that RFC 6455 (7.4) has no meaning for. "
        "WebSockets standard: the code is reported; Chromium and we do that.",
        tuple(
            f"a Close frame with {code}"
            for code in (0, 1, 999, 1004, 1016, 1999, 2000, 2999, 5000, 65535)
        ),
        all=True,
    ),
    Difference(
        "chromium",
        "It fails a connection on which something follows the Close frame. RFC 6455 (1.4): what "
        "follows is discarded.",
        ("a message after the server's Close",),
        entries=frozenset({"error"}),
        fields=frozenset({"code", "wasClean"}),
    ),
    Difference(
        "chromium",
        "It says 1002 to a server that sent other text than UTF-8. RFC 6455 (7.4.1) has 1007 for "
        "that.",
        ("the server says utf8-*", "the server says close-reason-*"),
        fields=frozenset({"server heard"}),
    ),
    Difference(
        "chromium",
        "It calls capturing listeners of what is no node in their turn. DOM standard: they come "
        "first at the target, too.",
        (
            "a listener for capture is another one",
            "listeners for capture come first",
            "removing needs the same capture",
            "stopPropagation keeps an event from capture to bubble",
        ),
        all=True,
    ),
    Difference(
        "undici",
        "Its error event is an ErrorEvent. WebSockets standard: a plain event.",
        ("*",),
        fields=frozenset({"interface"}),
    ),
    Difference(
        "undici",
        "Its bufferedAmount doesn't grow once the socket is closing. WebSockets standard: send() "
        "increases it in every state.",
        (
            "bufferedAmount grows *",
            "bufferedAmount of what is sent before close",
            "send in the handlers of error and close",
            "send after the server's Close",
            "send in the turn of close and after it",
        ),
        fields=frozenset({"bufferedAmount"}),
    ),
    Difference(
        "undici",
        "Any wrong binaryType makes it blob. Web IDL: an enumeration's wrong value is ignored.",
        ("binaryType ignores *",),
        fields=frozenset({"binaryType"}),
    ),
    Difference(
        "undici",
        "close() fires error and close itself while connecting, and the state stays 2. WebSockets "
        "standard: the state is 2 at once, then 3; the events are tasks.",
        (
            "close while connecting",
            "close with a code while connecting",
            "close while connecting to nobody",
        ),
        all=True,
    ),
    Difference(
        "undici",
        "It cuts fractions of codes off before it looks whether they are in range, but rounds them "
        "when they are. " + CONVERSION,
        ("close(999.4) is refused", "close(2999.4) is refused"),
        all=True,
    ),
    Difference(
        "undici",
        "It takes a byte order mark off texts. WebSockets standard: UTF-8 decode without BOM.",
        ("send text, bom", "receive text-bom"),
        fields=frozenset({"data"}),
    ),
    Difference(
        "undici",
        "It takes a byte order mark off reasons. WebSockets standard: UTF-8 decode without BOM.",
        ("a Close frame whose reason has a byte order mark",),
        fields=frozenset({"reason"}),
    ),
    Difference(
        "undici",
        "It fires error whenever no Close frame came. WebSockets standard: only when the "
        "connection was failed; Chromium and we don't where TCP just ends.",
        (
            "TCP is dropped",
            "TCP is cut-*",
            "TCP is reset",
            "TCP ends instead of the answer to Close",
        ),
        entries=frozenset({"error"}),
    ),
    Difference(
        "undici",
        "It fails a connection on which messages come after its own Close frame, when they come "
        "alone. RFC 6455 (5.5.1): the other side may finish what it sends.",
        (
            "no message after close was called",
            "no message after close was called in the handler of one",
            "what is queued goes before the Close frame",
            "a Blob is sent before the Close frame",
            "send in the turn of close and after it",
            "bufferedAmount of what is sent before close",
            "a message instead of the answer to Close",
        ),
        all=True,
        sometimes=True,
    ),
    Difference(
        "undici",
        "It looks at parameters of permessage-deflate after it has opened. RFC 7692 (5.1): they "
        "are part of the handshake.",
        ("the answer is wrong-parameter", "the answer is wrong-window"),
        entries=frozenset({"open"}),
    ),
    Difference(
        "undici",
        "It takes lengths in more octets than they need. RFC 6455 (5.2): the fewest must be used.",
        ("the server says length-not-minimal-*",),
        all=True,
    ),
    Difference(
        "undici",
        "It calls a length over 63 bits too big, 1009. RFC 6455 (5.2) has no such lengths: 1002.",
        ("the server says length-negative",),
        fields=frozenset({"server heard"}),
    ),
    Difference(
        "undici",
        "Events are Node's and made as by a script: not trusted, in no phase while listeners run. "
        "WebSockets standard: they are fired.",
        (
            "attributes of *",
            "attributes in a listener",
            "the origin of messages doesn't have the path",
        ),
        fields=frozenset({"isTrusted", "eventPhase", "currentTarget", "path"}),
    ),
    Difference(
        "undici",
        "Node's events have no constants for phases. DOM standard: they do.",
        ("Event by default",),
        fields=frozenset({"NONE", "CAPTURING_PHASE", "AT_TARGET", "BUBBLING_PHASE"}),
    ),
    Difference(
        "undici",
        "Node has an error of its own for an event in dispatch. DOM standard: InvalidStateError.",
        ("an event can't be dispatched within its dispatch",),
        fields=frozenset({"raised", "code"}),
    ),
    Difference(
        "undici",
        "A handler that replaces another goes to the end, since it is a listener of Node's. HTML "
        "standard: it keeps the place.",
        ("another handler keeps the place", "a handler replaced while the event is dispatched"),
        all=True,
    ),
    Difference(
        "undici",
        "Node's targets have one list for both phases, read while it changes. DOM standard: "
        "capturing listeners come first, and those that are added wait for the next event.",
        (
            "a listener for capture is another one",
            "listeners for capture come first",
            "removing needs the same capture",
            "stopPropagation keeps an event from capture to bubble",
            "added while the event is dispatched",
            "a handler set while the event is dispatched",
        ),
        all=True,
    ),
    Difference(
        "undici",
        "Node lets passive listeners cancel. DOM standard: they can't.",
        ("preventDefault of a passive listener",),
        fields=frozenset({"is"}),
    ),
]
