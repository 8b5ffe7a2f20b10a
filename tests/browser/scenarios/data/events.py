"""What events carry; events that scripts make."""

from __future__ import annotations

from ..language import (
    UNDEFINED,
    close,
    construct,
    describe,
    dispatch,
    fail,
    listen,
    new,
    note,
    octets,
    on,
    read,
    redispatch,
    scenario,
    send,
    wait,
)

CLOSE_ATTRIBUTES = ("type", "code", "reason", "wasClean", "bubbles", "cancelable", "isTrusted")
MESSAGE_ATTRIBUTES = ("type", "data", "origin", "lastEventId", "source", "bubbles", "isTrusted")
EVENT_ATTRIBUTES = (
    *("type", "bubbles", "cancelable", "composed", "defaultPrevented", "isTrusted", "eventPhase"),
    *("target", "currentTarget", "cancelBubble", "returnValue"),
)
PHASES = ("NONE", "CAPTURING_PHASE", "AT_TARGET", "BUBBLING_PHASE")

SCENARIOS = [
    scenario(
        "attributes of open, message and close",
        new("/greet"),
        on("open", describe()),
        on("message", describe()),
        on("close", describe()),
        wait("message", 2),
        close(),
        wait("close"),
    ),
    scenario(
        "attributes of error",
        new("ws://{refused}/", raw=True),
        on("error", describe()),
        wait("close"),
    ),
    scenario(
        "attributes in a listener",
        new("/echo"),
        listen("open", describe(), send(octets(b"x", "Blob"))),
        listen("message", describe(), close(3000)),
        listen("close", describe()),
        wait("close"),
    ),
    scenario(
        "the origin of messages doesn't have the path",
        new("/echo?a=b"),
        on("open", send("x")),
        on("message", describe(), close()),
        wait("close"),
    ),
    scenario("CloseEvent by default", construct("CloseEvent", "close", read=CLOSE_ATTRIBUTES)),
    scenario(
        "CloseEvent with everything",
        construct(
            "CloseEvent",
            "other",
            {"code": 3000, "reason": "why", "wasClean": True, "bubbles": True, "cancelable": True},
            read=CLOSE_ATTRIBUTES,
        ),
    ),
    scenario(
        "MessageEvent by default", construct("MessageEvent", "message", read=MESSAGE_ATTRIBUTES)
    ),
    scenario(
        "MessageEvent with everything",
        construct(
            "MessageEvent",
            "message",
            {"data": "text", "origin": "ws://h", "lastEventId": "7"},
            read=MESSAGE_ATTRIBUTES,
        ),
    ),
    scenario("Event by default", construct("Event", "x", read=(*EVENT_ATTRIBUTES, *PHASES))),
    scenario(
        "Event with everything",
        construct(
            "Event",
            "x",
            {"bubbles": True, "cancelable": True, "composed": True},
            read=EVENT_ATTRIBUTES,
        ),
    ),
    scenario("Event without a type", construct("Event", read=())),
    scenario("Event with undefined options", construct("Event", "x", UNDEFINED, read=("bubbles",))),
    scenario(
        "events of scripts don't change the socket",
        new("/echo"),
        dispatch("Event", "open"),
        read("readyState"),
        dispatch("CloseEvent", "close", code=3000, reason="made", wasClean=True),
        read("readyState"),
        dispatch("MessageEvent", "message", data="made", origin="ws://made"),
        dispatch("Event", "error"),
        dispatch("Event", "unheard-of"),
        read("readyState"),
        wait("open", 2),
        close(),
        wait("close", 2),
    ),
    scenario(
        "an event that is made isn't trusted",
        new("/echo"),
        listen("x", describe()),
        dispatch("Event", "x", bubbles=True, cancelable=True),
        close(),
        wait("close"),
    ),
    scenario(
        "an event can't be dispatched within its dispatch",
        new("/echo"),
        listen("x", redispatch(), note("listener goes on")),
        listen("x", note("second listener")),
        dispatch("Event", "x"),
        close(),
        wait("close"),
    ),
    scenario(
        "exceptions of handlers don't stop others",
        new("/echo"),
        listen("open", note("first")),
        on("open", fail("in onopen")),
        listen("open", fail("in a listener")),
        listen("open", note("last"), close()),
        wait("close"),
    ),
    scenario(
        "exceptions of handlers of every event",
        new("/greet"),
        on("message", close(), fail("in onmessage")),
        on("close", fail("in onclose")),
        wait("close"),
    ),
    scenario(
        "an exception in the handler of error doesn't keep close away",
        new("ws://{refused}/", raw=True),
        on("error", fail("in onerror")),
        wait("close"),
    ),
    scenario(
        "dispatchEvent doesn't raise what listeners raise",
        new("/echo"),
        listen("x", fail("in x")),
        listen("x", note("second")),
        dispatch("Event", "x"),
        note("after dispatchEvent"),
        close(),
        wait("close"),
    ),
]
