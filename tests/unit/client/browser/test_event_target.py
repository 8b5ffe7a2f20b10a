"""Which listeners are called, in which order (DOM sections 2.7 to 2.9)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from duologue import AbortController, AbortSignal, DOMException, Event, EventTarget
from duologue.client.browser.event_target import EventHandler


class Target(EventTarget):
    onping = EventHandler("ping")


@pytest.fixture
def target() -> Target:
    return Target()


@pytest.fixture
def calls() -> list[str]:
    return []


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    found: list[BaseException] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, exc, traceback: found.append(exc))
    return found


def noting(calls: list[str], name: str) -> Callable[[Event], None]:
    return lambda event: calls.append(name)


def ping(target: EventTarget, **members: Any) -> bool:
    return target.dispatchEvent(Event("ping", **members))


def test_calls_in_the_order_of_adding(target: Target, calls: list[str]) -> None:
    target.addEventListener("ping", noting(calls, "a"))
    target.onping = noting(calls, "b")
    target.addEventListener("ping", noting(calls, "c"))
    target.addEventListener("pong", noting(calls, "d"))
    assert ping(target)
    assert calls == ["a", "b", "c"]


def test_capturing_listeners_come_first(target: Target, calls: list[str]) -> None:
    target.addEventListener("ping", noting(calls, "a"))
    target.addEventListener("ping", noting(calls, "b"), True)
    target.addEventListener("ping", noting(calls, "c"), {"capture": True})
    target.addEventListener("ping", noting(calls, "d"), capture=False)
    ping(target)
    assert calls == ["b", "c", "a", "d"]


def test_same_listener_is_added_once(target: Target, calls: list[str]) -> None:
    listener = noting(calls, "a")
    target.addEventListener("ping", listener)
    target.addEventListener("ping", listener, {"once": True, "passive": True})
    target.addEventListener("ping", listener, True)
    ping(target)
    ping(target)
    assert calls == ["a"] * 4


def test_bound_methods_are_the_same_listener(target: Target) -> None:
    class Counter:
        calls = 0

        def note(self, event: Event) -> None:
            self.calls += 1

    counter = Counter()
    target.addEventListener("ping", counter.note)
    target.addEventListener("ping", counter.note)
    ping(target)
    target.removeEventListener("ping", counter.note)
    ping(target)
    assert counter.calls == 1


def test_removes_what_matches_type_listener_and_capture(target: Target, calls: list[str]) -> None:
    listener = noting(calls, "a")
    target.addEventListener("ping", listener, True)
    target.removeEventListener("ping", listener)
    target.removeEventListener("pong", listener, True)
    target.removeEventListener("ping", None)
    ping(target)
    target.removeEventListener("ping", listener, {"capture": True, "once": True})
    target.removeEventListener("ping", listener, True)
    ping(target)
    assert calls == ["a"]


def test_once_is_removed_before_its_call(target: Target, calls: list[str]) -> None:
    def again(event: Event) -> None:
        calls.append("once")
        ping(target)

    target.addEventListener("ping", again, once=True)
    ping(target)
    ping(target)
    assert calls == ["once"]


def test_objects_with_handle_event(target: Target, calls: list[str]) -> None:
    class Listener:
        pass

    listener = Listener()
    target.addEventListener("ping", listener)
    # Looked up when it is called.
    listener.handleEvent = noting(calls, "a")  # type: ignore[attr-defined]
    ping(target)
    listener.handleEvent = noting(calls, "b")  # type: ignore[attr-defined]
    ping(target)
    assert calls == ["a", "b"]


def test_an_object_that_cannot_be_called_is_reported(
    target: Target, calls: list[str], reported: list[BaseException]
) -> None:
    target.addEventListener("ping", object())
    target.addEventListener("ping", noting(calls, "a"))
    ping(target)
    assert calls == ["a"]
    assert [type(exc) for exc in reported] == [AttributeError]


def test_none_and_wrong_listeners(target: Target) -> None:
    target.addEventListener("ping", None)
    for wrong in ("f", b"f", 5):
        with pytest.raises(TypeError, match="callback must be"):
            target.addEventListener("ping", wrong)
    with pytest.raises(TypeError, match="options must be"):
        target.addEventListener("ping", print, 5)  # type: ignore[arg-type]
    assert ping(target)


def test_signal_removes(target: Target, calls: list[str]) -> None:
    controller = AbortController()
    target.addEventListener("ping", noting(calls, "a"), {"signal": controller.signal})
    ping(target)
    controller.abort()
    ping(target)
    assert calls == ["a"]


def test_aborted_signal_adds_nothing(target: Target, calls: list[str]) -> None:
    target.addEventListener("ping", noting(calls, "a"), signal=AbortSignal.abort())
    ping(target)
    assert calls == []
    for wrong in (None, "signal"):
        with pytest.raises(TypeError, match="signal must be an AbortSignal"):
            target.addEventListener("ping", print, signal=wrong)


def test_signal_aborted_while_dispatching(target: Target, calls: list[str]) -> None:
    controller = AbortController()
    target.addEventListener("ping", lambda event: controller.abort())
    target.addEventListener("ping", noting(calls, "a"), signal=controller.signal)
    ping(target)
    assert calls == []


def test_passive_listener_cannot_cancel(target: Target) -> None:
    target.addEventListener("ping", lambda event: event.preventDefault(), passive=True)
    assert ping(target, cancelable=True)
    target.addEventListener("ping", lambda event: event.preventDefault())
    assert not ping(target, cancelable=True)


def test_listeners_added_while_dispatching_wait(target: Target, calls: list[str]) -> None:
    target.addEventListener(
        "ping", lambda event: target.addEventListener("ping", noting(calls, "new")), once=True
    )
    ping(target)
    assert calls == []
    ping(target)
    assert calls == ["new"]


def test_listeners_removed_while_dispatching_are_not_called(
    target: Target, calls: list[str]
) -> None:
    late = noting(calls, "late")
    target.addEventListener("ping", lambda event: target.removeEventListener("ping", late))
    target.addEventListener("ping", late)
    ping(target)
    assert calls == []


def test_stop_immediate_propagation(target: Target, calls: list[str]) -> None:
    target.addEventListener("ping", lambda event: event.stopImmediatePropagation())
    target.addEventListener("ping", noting(calls, "a"))
    ping(target)
    assert calls == []


def test_stop_propagation_ends_after_the_capturing_listeners(
    target: Target, calls: list[str]
) -> None:
    def stop(event: Event) -> None:
        event.stopPropagation()

    target.addEventListener("ping", stop, True)
    target.addEventListener("ping", noting(calls, "capturing"), True)
    target.addEventListener("ping", noting(calls, "a"))
    ping(target)
    assert calls == ["capturing"]
    target.removeEventListener("ping", stop, True)
    target.addEventListener("ping", stop)
    target.addEventListener("ping", noting(calls, "b"))
    ping(target)
    assert calls == ["capturing", "capturing", "a", "b"]


def test_exceptions_are_reported_and_others_go_on(
    target: Target, calls: list[str], reported: list[BaseException]
) -> None:
    failure = ValueError("no")

    def fail(event: Event) -> None:
        raise failure

    target.addEventListener("ping", fail)
    target.onping = lambda wrong, number: None
    target.addEventListener("ping", noting(calls, "a"))
    assert ping(target)
    assert calls == ["a"]
    assert reported[0] is failure
    assert isinstance(reported[1], TypeError)


def test_interrupts_are_not_swallowed(target: Target) -> None:
    def interrupt(event: Event) -> None:
        raise KeyboardInterrupt

    target.onping = interrupt
    event = Event("ping")
    with pytest.raises(KeyboardInterrupt):
        target.dispatchEvent(event)
    assert event.eventPhase == Event.NONE


def test_event_that_is_being_dispatched_is_refused(target: Target) -> None:
    found = []

    def again(event: Event) -> None:
        with pytest.raises(DOMException) as info:
            target.dispatchEvent(event)
        found.append(info.value.name)

    target.onping = again
    event = Event("ping")
    target.dispatchEvent(event)
    target.onping = None
    assert target.dispatchEvent(event)
    assert found == ["InvalidStateError"]


def test_only_events_are_dispatched(target: Target) -> None:
    with pytest.raises(TypeError, match="must be an Event"):
        target.dispatchEvent("ping")  # type: ignore[arg-type]


def test_handler_attribute(target: Target, calls: list[str]) -> None:
    assert target.onping is None
    first, second = noting(calls, "first"), noting(calls, "second")
    target.onping = first
    assert target.onping is first
    target.addEventListener("ping", noting(calls, "a"))
    # Another function keeps the place, null gives it up.
    target.onping = second
    ping(target)
    assert calls == ["second", "a"]
    calls.clear()
    target.onping = None
    assert target.onping is None
    target.onping = first
    ping(target)
    assert calls == ["a", "first"]


@pytest.mark.parametrize("value", [None, 5, True, "f", b"f"])
def test_handler_attribute_that_is_no_object_is_none(target: Target, value: object) -> None:
    target.onping = print
    target.onping = value
    assert target.onping is None


def test_handler_attribute_that_cannot_be_called_is_kept(target: Target, calls: list[str]) -> None:
    class Handler:
        def handleEvent(self, event: Event) -> None:
            calls.append("handleEvent")

    handler = Handler()
    target.onping = handler
    target.addEventListener("ping", noting(calls, "last"))
    ping(target)
    assert target.onping is handler
    target.onping = noting(calls, "first")
    ping(target)
    assert calls == ["last", "first", "last"]


def test_handler_attribute_and_listener_are_two(target: Target, calls: list[str]) -> None:
    listener = noting(calls, "a")
    target.onping = listener
    target.addEventListener("ping", listener)
    target.removeEventListener("ping", listener)
    ping(target)
    assert calls == ["a"]


def test_handler_attribute_that_returns_false_cancels(target: Target) -> None:
    target.addEventListener("ping", lambda event: False)
    assert ping(target, cancelable=True)
    target.onping = lambda event: False
    assert ping(target)
    assert not ping(target, cancelable=True)
