"""Handler attributes and addEventListener: which functions are called, and in which order."""

from __future__ import annotations

from ..language import (
    FUNCTION,
    HANDLING_OBJECT,
    UNDEFINED,
    Scenario,
    Step,
    abort,
    assign,
    call,
    close,
    dispatch,
    event,
    listen,
    new,
    note,
    on,
    read,
    scenario,
    unlisten,
    wait,
)


def called(name: str, *steps: Step) -> Scenario:
    """Perform steps on a socket, then dispatch a cancelable event to it twice."""
    twice = [note("first time"), dispatch("Event", "error", cancelable=True)]
    twice += [note("second time"), dispatch("Event", "error", cancelable=True)]
    return scenario(name, new("/echo"), *steps, *twice, close(), wait("close"))


def say(text: str, *steps: Step, **options: object) -> Step:
    return listen("error", note(text), *steps, **options)  # type: ignore[arg-type]


HANDLERS = ("onopen", "onmessage", "onerror", "onclose")

SCENARIOS = [
    scenario("handlers are null at first", new("/echo"), read(*HANDLERS), close(), wait("close")),
    *(
        scenario(
            f"a handler that is {what}",
            new("/echo"),
            *(assign(name, value) for name in HANDLERS),
            read(*HANDLERS),
            *(assign(name, None) for name in HANDLERS),
            read(*HANDLERS),
            on("open", close()),
            wait("close"),
        )
        for what, value in {
            "a function": FUNCTION,
            "an object with handleEvent": HANDLING_OBJECT,
            "a string": "text",
            "a number": 1,
            "false": False,
            "null": None,
        }.items()
    ),
    called(
        "listeners and the handler in the order they were set",
        say("A"),
        on("error", note("handler")),
        say("B"),
    ),
    called(
        "another handler keeps the place",
        on("error", note("old")),
        say("A"),
        on("error", note("new")),
    ),
    called(
        "a handler set to null and anew goes to the end",
        on("error", note("old")),
        say("A"),
        assign("onerror", None),
        on("error", note("new")),
    ),
    called("a handler set to null isn't called", on("error", note("no")), assign("onerror", None)),
    called(
        "a handler set to a string isn't called", on("error", note("no")), assign("onerror", "text")
    ),
    called("the same listener twice is called once", say("A", name="a"), say("A", name="a")),
    called("two listeners that look alike", say("A"), say("A")),
    called(
        "once and passive don't make another listener",
        say("A", name="a"),
        say("A", name="a", once=True),
        say("A", name="a", passive=True),
    ),
    called(
        "a listener for capture is another one",
        say("A", name="a"),
        say("A", name="a", capture=True),
        say("A", name="a", third=True),
    ),
    called(
        "listeners for capture come first",
        say("A"),
        say("B", capture=True),
        on("error", note("handler")),
        say("C", third=True),
        say("D", third=False),
    ),
    called("once", say("A", once=True), say("B")),
    called(
        "once, and a dispatch within",
        listen("error", note("A"), dispatch("Event", "error"), once=True),
    ),
    called("an object with handleEvent", say("A", as_object=True), say("B", as_object=True)),
    called("a listener that is removed", say("A", name="a"), say("B"), unlisten("error", "a")),
    called(
        "removing needs the same capture",
        say("A", name="a"),
        say("B", name="b", capture=True),
        unlisten("error", "a", capture=True),
        unlisten("error", "b"),
        say("C", name="c", capture=True),
        unlisten("error", "c", third=True),
    ),
    called(
        "removing what isn't there",
        say("A", name="a"),
        unlisten("message", "a"),
        call("removeEventListener", "error", FUNCTION),
        call("removeEventListener", "error", None),
    ),
    called(
        "removed while the event is dispatched",
        say("A", unlisten("error", "c")),
        say("B"),
        say("C", name="c"),
    ),
    called(
        "a listener removes itself",
        say("A", unlisten("error", "a"), name="a"),
        say("B"),
    ),
    called("added while the event is dispatched", say("A", say("B", name="b")), say("C")),
    called(
        "a handler set while the event is dispatched",
        say("A", on("error", note("handler"))),
        say("B"),
    ),
    called(
        "a handler replaced while the event is dispatched",
        say("A", on("error", note("new"))),
        on("error", note("old")),
    ),
    called(
        "a handler cleared while the event is dispatched",
        say("A", assign("onerror", None)),
        on("error", note("handler")),
    ),
    called("a signal removes", say("A", signal="s"), say("B"), abort("s")),
    called("a signal that was aborted before", abort("s"), say("A", signal="s"), say("B")),
    called(
        "a signal while the event is dispatched",
        say("A", abort("s")),
        say("B", signal="s"),
        say("C"),
    ),
    called(
        "stopImmediatePropagation",
        say("A"),
        say("B", event("stopImmediatePropagation")),
        say("C"),
        on("error", note("handler")),
    ),
    called("stopPropagation", say("A", event("stopPropagation")), say("B")),
    called(
        "stopPropagation keeps an event from capture to bubble",
        say("A"),
        say("B", event("stopPropagation"), capture=True),
        say("C", capture=True),
    ),
    called("preventDefault", say("A", event("preventDefault")), say("B")),
    called("preventDefault of a passive listener", say("A", event("preventDefault"), passive=True)),
    called("a listener that is null", call("addEventListener", "error", None), say("A")),
    called("a listener that is undefined", call("addEventListener", "error", UNDEFINED), say("A")),
    called("a listener that is no object", call("addEventListener", "error", "text"), say("A")),
    called("too few arguments", call("addEventListener", "error"), call("removeEventListener")),
    scenario(
        "preventDefault does nothing to events of the socket",
        new("/echo"),
        on("open", event("preventDefault"), note("open"), close()),
        on("close", event("preventDefault", "stopPropagation"), note("close")),
        wait("close"),
    ),
    scenario(
        "several listeners and the handler for each event of the socket",
        new("/greet"),
        listen("open", note("open A")),
        on("open", note("onopen")),
        listen("open", note("open B")),
        listen("message", note("message A")),
        on("message", note("onmessage")),
        listen("close", note("close A")),
        on("close", note("onclose")),
        wait("message", 2),
        close(),
        wait("close"),
        servers=("ours", "npm"),
    ),
    scenario(
        "once for messages",
        new("/greet"),
        listen("message", note("only the first"), once=True),
        listen("message", note("both")),
        wait("message", 2),
        close(),
        wait("close"),
    ),
]
