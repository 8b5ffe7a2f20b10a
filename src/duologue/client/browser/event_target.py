"""``EventTarget``, and the ``on...`` attributes of those that derive from it.

Targets have no parents here: an event is dispatched to one target, its capturing listeners first.

Listeners are functions or objects with ``handleEvent``, which is looked up at each call. They are
called with the event and nothing else: ``event.currentTarget`` is what JavaScript calls ``this``.

Invariant: the list of listeners is replaced, never changed, so that a dispatch goes on with the
listeners of its beginning, whichever thread adds others.

Sources: DOM sections 2.7 to 2.9; HTML section 8.1.8.1, "event handlers".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, overload

from duologue.client.browser.dispatching import call_listener, report
from duologue.client.browser.dom_exception import DOMException
from duologue.client.browser.events import Event

__all__ = ["EventHandler", "EventTarget"]

# What has neither identity nor methods of its own in JavaScript.
_PRIMITIVE = (str, bytes, int, float)


class _Listener:
    """One entry of a target's list."""

    __slots__ = ("callback", "capture", "handler", "once", "passive", "removed", "type")

    def __init__(
        self, type: str, callback: Any, capture: bool, once: bool, passive: bool, handler: bool
    ) -> None:
        self.type = type
        self.callback = callback
        self.capture = capture
        self.once = once
        self.passive = passive
        self.handler = handler
        """Whether it stands for an ``on...`` attribute."""
        self.removed = False

    def call(self, event: Event) -> None:
        callback = self.callback
        if not callable(callback):
            if self.handler:
                return
            try:
                callback = callback.handleEvent
            except AttributeError as exc:
                report("an event listener can't be called", exc)
                return
        if call_listener(callback, event) is False and self.handler:
            # "The event handler processing algorithm" (HTML section 8.1.8.1).
            event.preventDefault()


class EventTarget:
    """Something that events are dispatched to."""

    def __init__(self) -> None:
        self._listeners: tuple[_Listener, ...] = ()

    def addEventListener(
        self,
        type: str,
        callback: Any,
        options: Mapping[str, Any] | bool | None = None,
        /,
        **more: Any,
    ) -> None:
        """Have ``callback`` called with each event of this type.

        The same callback is added once for each type and ``capture``; adding it again changes
        nothing, whatever the other options.

        Args:
            type: name of the events.
            callback: a function or coroutine function, or an object with a method ``handleEvent``;
                ``None`` does nothing.
            options: a mapping with ``capture`` (before those that don't), ``once`` (removed before
                its first call), ``passive`` (can't cancel events), ``signal`` (removed when this
                :class:`AbortSignal` is aborted); or ``capture`` alone.
            **more: options as keywords.

        Raises:
            TypeError: If an argument has the wrong type.
        """
        given = _options(options, more)
        signal = given.get("signal")
        if "signal" in given and not _is_signal(signal):
            raise TypeError(f"signal must be an AbortSignal, not {signal!r}")
        _check_callback(callback)
        if callback is None or (signal is not None and signal.aborted):
            return
        listener = _Listener(
            type,
            callback,
            bool(given.get("capture")),
            bool(given.get("once")),
            bool(given.get("passive")),
            False,
        )
        if self._find(type, callback, listener.capture) is not None:
            return
        self._add(listener)
        if signal is not None:
            signal._when_aborted(lambda: self._remove(listener))

    def removeEventListener(
        self,
        type: str,
        callback: Any,
        options: Mapping[str, Any] | bool | None = None,
        /,
        **more: Any,
    ) -> None:
        """Have ``callback`` not called any more, not even in a dispatch that goes on.

        Args:
            type: as it was added.
            callback: as it was added.
            options: ``capture`` as it was added; others don't matter.
            **more: options as keywords.
        """
        _check_callback(callback)
        found = self._find(type, callback, bool(_options(options, more).get("capture")))
        if found is not None:
            self._remove(found)

    def dispatchEvent(self, event: Event) -> bool:
        """Call the listeners of an event of the program's own, now.

        Args:
            event: what happened; not trusted from now on.

        Returns:
            Whether nobody canceled it.

        Raises:
            DOMException: ``InvalidStateError`` if it is being dispatched.
            TypeError: If it is no :class:`Event`.
        """
        if not isinstance(event, Event):
            raise TypeError(f"event must be an Event, not {event!r}")
        if event._dispatching:
            raise DOMException("the event is being dispatched", "InvalidStateError")
        event._trusted = False
        return self._dispatch(event)

    def _fire(self, event: Event) -> None:
        """Dispatch an event that the program hasn't made."""
        event._trusted = True
        self._dispatch(event)

    def _dispatch(self, event: Event) -> bool:
        event._target = event._current_target = self
        event._dispatching = True
        # Each pass takes the listeners of its beginning (DOM, "inner invoke").
        try:
            for capture in (True, False):
                if not event._stopped:
                    self._invoke(event, capture)
        finally:
            event._dispatching = event._stopped = event._stopped_at_once = False
            event._current_target = None
        return not event._canceled

    def _invoke(self, event: Event, capture: bool) -> None:
        for listener in self._listeners:
            if listener.type != event.type or listener.capture != capture or listener.removed:
                continue
            if listener.once:
                self._remove(listener)
            event._in_passive_listener = listener.passive
            try:
                listener.call(event)
            finally:
                event._in_passive_listener = False
            if event._stopped_at_once:
                return

    def _find(self, type: str, callback: Any, capture: bool) -> _Listener | None:
        for listener in self._listeners:
            # Methods are made anew each time they are looked up, but are equal.
            if (
                listener.type == type
                and listener.capture == capture
                and not listener.handler
                and (listener.callback is callback or listener.callback == callback)
            ):
                return listener
        return None

    def _add(self, listener: _Listener) -> None:
        self._listeners = (*self._listeners, listener)
        self._listeners_changed()

    def _remove(self, listener: _Listener) -> None:
        listener.removed = True
        self._listeners = tuple(other for other in self._listeners if other is not listener)
        self._listeners_changed()

    def _listeners_changed(self) -> None:
        """Called after a listener was added or removed."""

    def _listens(self, *types: str) -> bool:
        """Whether there is a listener for one of these types."""
        return any(listener.type in types for listener in self._listeners)


class EventHandler:
    """An ``on...`` attribute: one more listener, in the place where it was first set.

    What would be no object in JavaScript, a number or a text, is as good as ``None``, which takes
    it out of its place. Other objects are kept, but only called if they can be: ``handleEvent`` is
    for listeners (Web IDL ``LegacyTreatNonObjectAsNull``).

    Args:
        type: name of the events.
    """

    def __init__(self, type: str) -> None:
        self._type = type
        self.__doc__ = f'Called with each event "{type}"; ``None`` if nothing is.'

    @overload
    def __get__(self, target: None, owner: object) -> EventHandler: ...
    @overload
    def __get__(self, target: EventTarget, owner: object) -> Any: ...
    def __get__(self, target: EventTarget | None, owner: object) -> Any:
        if target is None:
            return self
        listener = self._find(target)
        return None if listener is None else listener.callback

    def __set__(self, target: EventTarget, value: object) -> None:
        listener = self._find(target)
        if value is None or isinstance(value, _PRIMITIVE):
            if listener is not None:
                target._remove(listener)
        elif listener is not None:
            listener.callback = value
        else:
            target._add(_Listener(self._type, value, False, False, False, True))

    def _find(self, target: EventTarget) -> _Listener | None:
        for listener in target._listeners:
            if listener.handler and listener.type == self._type:
                return listener
        return None


def _options(options: object, more: dict[str, Any]) -> dict[str, Any]:
    if options is None or isinstance(options, bool):
        return {"capture": bool(options), **more}
    if not isinstance(options, Mapping):
        raise TypeError(f"options must be a mapping or bool, not {options!r}")
    return {**options, **more}


def _check_callback(callback: object) -> None:
    # Any object will do: handleEvent may come later.
    if isinstance(callback, _PRIMITIVE):
        raise TypeError(f"callback must be callable or have handleEvent, not {callback!r}")


def _is_signal(value: object) -> bool:
    return hasattr(value, "aborted") and hasattr(value, "_when_aborted")
