"""What events tell before, while and after they are dispatched."""

from __future__ import annotations

from typing import Any

import pytest

from duologue import CloseEvent, Event, EventTarget, MessageEvent


def test_defaults_of_an_event() -> None:
    event = Event("ping")
    assert event.type == "ping"
    assert (event.bubbles, event.cancelable, event.composed) == (False, False, False)
    assert event.target is event.srcElement is event.currentTarget is None
    assert event.eventPhase == Event.NONE == 0
    assert (event.isTrusted, event.defaultPrevented, event.returnValue) == (False, False, True)
    assert event.composedPath() == []


def test_phases_have_numbers() -> None:
    phases = (Event.NONE, Event.CAPTURING_PHASE, Event.AT_TARGET, Event.BUBBLING_PHASE)
    assert phases == (0, 1, 2, 3)


def test_initializer_is_a_mapping_or_keywords() -> None:
    event = Event("x", {"bubbles": True, "unknown": 1}, cancelable=1)
    assert (event.bubbles, event.cancelable) == (True, True)
    with pytest.raises(TypeError, match="no member 'bubble'"):
        Event("x", bubble=True)
    with pytest.raises(TypeError, match="must be a mapping"):
        Event("x", True)  # type: ignore[arg-type]


def test_type_is_text() -> None:
    with pytest.raises(TypeError):
        Event()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="type must be str"):
        Event(5)  # type: ignore[arg-type]


def test_time_goes_on_in_milliseconds() -> None:
    first, second = Event("a"), Event("b")
    assert 0 <= first.timeStamp <= second.timeStamp


def test_message_event() -> None:
    event = MessageEvent("message")
    assert (event.data, event.origin, event.lastEventId, event.source) == (None, "", "", None)
    assert event.ports == ()
    event = MessageEvent("message", {"data": "hi", "origin": "ws://h"}, ports=[1])
    assert (event.data, event.origin, event.ports) == ("hi", "ws://h", (1,))
    with pytest.raises(TypeError, match="origin must be str"):
        MessageEvent("message", origin=None)
    with pytest.raises(TypeError, match="ports must be iterable"):
        MessageEvent("message", ports=1)


def test_close_event() -> None:
    event = CloseEvent("close")
    assert (event.wasClean, event.code, event.reason) == (False, 0, "")
    event = CloseEvent("close", wasClean=1, code=65536 + 1000, reason="why")
    assert (event.wasClean, event.code, event.reason) == (True, 1000, "why")
    assert repr(event) == "<CloseEvent close code=1000 reason='why' wasClean=True>"


@pytest.mark.parametrize(
    "name",
    ["type", "target", "currentTarget", "eventPhase", "isTrusted", "timeStamp", "defaultPrevented"],
)
def test_attributes_are_read_only(name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(Event("x"), name, 1)


@pytest.mark.parametrize(
    ("event", "name"), [(MessageEvent("m"), "data"), (CloseEvent("c"), "code")]
)
def test_attributes_of_others_are_read_only(event: Event, name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(event, name, 1)


def dispatched(event: Event, listener: Any) -> bool:
    target = EventTarget()
    target.addEventListener(event.type, listener)
    return target.dispatchEvent(event)


def test_knows_its_target_while_it_is_dispatched() -> None:
    target, seen = EventTarget(), []
    target.addEventListener(
        "x",
        lambda event: seen.append(
            (event.target, event.currentTarget, event.eventPhase, event.composedPath())
        ),
    )
    event = Event("x")
    target.dispatchEvent(event)
    assert seen == [(target, target, Event.AT_TARGET, [target])]
    assert (event.target, event.currentTarget, event.eventPhase) == (target, None, Event.NONE)
    assert event.composedPath() == []


def test_is_canceled_if_it_can_be() -> None:
    for cancelable in (False, True):
        event = Event("x", cancelable=cancelable)
        assert dispatched(event, lambda event: event.preventDefault()) is not cancelable
        assert event.defaultPrevented is cancelable
        assert event.returnValue is not cancelable


def test_return_value_cancels() -> None:
    event = Event("x", cancelable=True)
    event.returnValue = True
    assert not event.defaultPrevented
    event.returnValue = False
    assert event.defaultPrevented


def test_cancel_bubble_stops_propagation_until_the_end() -> None:
    event = Event("x")
    event.cancelBubble = False
    assert not event.cancelBubble
    event.cancelBubble = True
    assert event.cancelBubble
    calls: list[Event] = []
    dispatched(event, calls.append)
    assert calls == []
    assert not event.cancelBubble


def test_init_event_makes_it_anew_unless_it_is_dispatched() -> None:
    event = Event("x", cancelable=True)
    event.preventDefault()
    event.initEvent("y", True)
    assert (event.type, event.bubbles, event.cancelable) == ("y", True, False)
    assert not event.defaultPrevented
    dispatched(event, lambda event: event.initEvent("z"))
    assert event.type == "y"
