"""``AbortController`` and ``AbortSignal``."""

from __future__ import annotations

import pytest

from duologue import AbortController, AbortSignal, DOMException, Event


def test_abort_tells_once() -> None:
    controller, calls = AbortController(), list[Event]()
    signal = controller.signal
    assert (signal.aborted, signal.reason) == (False, None)
    signal.throwIfAborted()
    signal.onabort = calls.append
    controller.abort()
    controller.abort("again")
    assert signal.aborted
    assert isinstance(signal.reason, DOMException)
    assert signal.reason.name == "AbortError"
    assert [(event.type, event.isTrusted, event.target) for event in calls] == [
        ("abort", True, signal)
    ]


def test_reason() -> None:
    failure = ValueError("enough")
    signal = AbortSignal.abort(failure)
    assert signal.reason is failure
    with pytest.raises(ValueError, match="enough"):
        signal.throwIfAborted()
    with pytest.raises(DOMException) as info:
        AbortSignal.abort("why").throwIfAborted()
    assert info.value.name == "AbortError"


def test_algorithms_come_before_the_event_unless_they_are_taken_back() -> None:
    controller, calls = AbortController(), list[str]()
    controller.signal.onabort = lambda event: calls.append("event")
    controller.signal._when_aborted(lambda: calls.append("algorithm"))
    forget = controller.signal._when_aborted(lambda: calls.append("forgotten"))
    forget()
    forget()
    controller.abort()
    assert calls == ["algorithm", "event"]
