"""Events, and what they tell (DOM section 2.2; HTML 9.1; WHATWG WebSockets section 6).

An initializer is what JavaScript calls a dictionary: a mapping as second argument, keyword
arguments, or both (keywords count). What it has beyond the names that are known is ignored in a
mapping, and a :exc:`TypeError` as a keyword.

Invariant: nothing but :class:`~duologue.client.browser.event_target.EventTarget` changes an event's
underscored attributes after construction.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from duologue.client.browser.event_target import EventTarget

__all__ = ["CloseEvent", "Event", "MessageEvent"]

_TIME_ORIGIN = time.perf_counter()


class Event:
    """Something that happened.

    Args:
        type: its name, such as ``"open"``.
        init: a mapping with ``bubbles``, ``cancelable`` and ``composed``, all false by default.
        **members: the same as keywords.

    Raises:
        TypeError: If ``init`` is no mapping, or a keyword isn't known.
    """

    NONE = 0
    CAPTURING_PHASE = 1
    AT_TARGET = 2
    BUBBLING_PHASE = 3

    # What an initializer may have, and the defaults.
    _members: ClassVar[dict[str, Any]] = {"bubbles": False, "cancelable": False, "composed": False}

    def __init__(self, type: str, init: Mapping[str, Any] | None = None, /, **members: Any) -> None:
        if init is not None and not isinstance(init, Mapping):
            raise TypeError(f"init must be a mapping, not {init!r}")
        for name in members:
            if name not in self._members:
                raise TypeError(f"{self.__class__.__name__} has no member {name!r}")
        given = {**self._members, **(init or {}), **members}
        self._initialize({name: given[name] for name in self._members})
        self._type = _text("type", type)
        self._time = (time.perf_counter() - _TIME_ORIGIN) * 1000
        self._trusted = False
        self._target: EventTarget | None = None
        self._current_target: EventTarget | None = None
        self._dispatching = False
        self._stopped = False
        self._stopped_at_once = False
        self._canceled = False
        self._in_passive_listener = False

    def _initialize(self, members: dict[str, Any]) -> None:
        self._bubbles = bool(members["bubbles"])
        self._cancelable = bool(members["cancelable"])
        self._composed = bool(members["composed"])

    @property
    def type(self) -> str:
        """Its name."""
        return self._type

    @property
    def target(self) -> EventTarget | None:
        """What it is, or was, dispatched to."""
        return self._target

    @property
    def srcElement(self) -> EventTarget | None:
        """Another name of :attr:`target`."""
        return self._target

    @property
    def currentTarget(self) -> EventTarget | None:
        """The target while it is dispatched, else ``None``."""
        return self._current_target

    @property
    def eventPhase(self) -> int:
        """``AT_TARGET`` while it is dispatched, else ``NONE``."""
        return self.AT_TARGET if self._current_target is not None else self.NONE

    def composedPath(self) -> list[EventTarget]:
        """Return the targets on its way: one while it is dispatched, else none."""
        return [] if self._current_target is None else [self._current_target]

    def stopPropagation(self) -> None:
        """Let no target after this one have it; of this one, no listener after the capturing."""
        self._stopped = True

    def stopImmediatePropagation(self) -> None:
        """Let no other listener have it."""
        self._stopped = self._stopped_at_once = True

    def preventDefault(self) -> None:
        """Cancel it, if it is cancelable and the listener isn't passive."""
        if self._cancelable and not self._in_passive_listener:
            self._canceled = True

    @property
    def cancelBubble(self) -> bool:
        """Whether :meth:`stopPropagation` was called; setting it to true calls it."""
        return self._stopped

    @cancelBubble.setter
    def cancelBubble(self, value: object) -> None:
        if value:
            self.stopPropagation()

    @property
    def returnValue(self) -> bool:
        """Whether it isn't canceled; setting it to false calls :meth:`preventDefault`."""
        return not self._canceled

    @returnValue.setter
    def returnValue(self, value: object) -> None:
        if not value:
            self.preventDefault()

    @property
    def bubbles(self) -> bool:
        """Whether it bubbles, which says nothing where targets have no parents."""
        return self._bubbles

    @property
    def cancelable(self) -> bool:
        """Whether it can be canceled."""
        return self._cancelable

    @property
    def composed(self) -> bool:
        """Whether it passes shadow roots, which there are none of here."""
        return self._composed

    @property
    def defaultPrevented(self) -> bool:
        """Whether it was canceled."""
        return self._canceled

    @property
    def isTrusted(self) -> bool:
        """Whether a socket has made it rather than the program."""
        return self._trusted

    @property
    def timeStamp(self) -> float:
        """When it was made, in milliseconds on a clock that never goes back."""
        return self._time

    def initEvent(self, type: str, bubbles: bool = False, cancelable: bool = False) -> None:
        """Make it anew, unless it is being dispatched (a relic; use the constructor)."""
        if self._dispatching:
            return
        self._type = _text("type", type)
        self._bubbles = bool(bubbles)
        self._cancelable = bool(cancelable)
        self._trusted = self._stopped = self._stopped_at_once = self._canceled = False
        self._target = None

    def __repr__(self) -> str:
        shown = "".join(f" {name}={getattr(self, name)!r}" for name in self._shown)
        return f"<{self.__class__.__name__} {self._type}{shown}>"

    _shown: ClassVar[tuple[str, ...]] = ()


class MessageEvent(Event):
    """A message.

    Args:
        type: its name, ``"message"`` when it comes from a socket.
        init: a mapping with the members of :class:`Event` and ``data`` (``None`` by default),
            ``origin`` and ``lastEventId`` (empty), ``source`` (``None``), ``ports`` (none).
        **members: the same as keywords.
    """

    _members: ClassVar[dict[str, Any]] = {
        **Event._members,
        "data": None,
        "origin": "",
        "lastEventId": "",
        "source": None,
        "ports": (),
    }
    _shown = ("data", "origin")

    def _initialize(self, members: dict[str, Any]) -> None:
        super()._initialize(members)
        self._data = members["data"]
        self._origin = _text("origin", members["origin"])
        self._last_event_id = _text("lastEventId", members["lastEventId"])
        self._source = members["source"]
        ports = members["ports"]
        if not isinstance(ports, Iterable):
            raise TypeError(f"ports must be iterable, not {ports!r}")
        self._ports = tuple(ports)

    @property
    def data(self) -> Any:
        """The message: :class:`str`, :class:`~duologue.Blob`, or :class:`bytes`."""
        return self._data

    @property
    def origin(self) -> str:
        """Scheme, host and port of the socket's URL."""
        return self._origin

    @property
    def lastEventId(self) -> str:
        """Empty; other interfaces than WebSocket use it."""
        return self._last_event_id

    @property
    def source(self) -> Any:
        """``None``; other interfaces than WebSocket use it."""
        return self._source

    @property
    def ports(self) -> tuple[Any, ...]:
        """Empty; other interfaces than WebSocket use it."""
        return self._ports


class CloseEvent(Event):
    """The end of a connection.

    Args:
        type: its name, ``"close"`` when it comes from a socket.
        init: a mapping with the members of :class:`Event` and ``wasClean`` (false by default),
            ``code`` (0) and ``reason`` (empty).
        **members: the same as keywords.
    """

    _members: ClassVar[dict[str, Any]] = {
        **Event._members,
        "wasClean": False,
        "code": 0,
        "reason": "",
    }
    _shown = ("code", "reason", "wasClean")

    def _initialize(self, members: dict[str, Any]) -> None:
        super()._initialize(members)
        self._was_clean = bool(members["wasClean"])
        # "unsigned short": what doesn't fit is taken modulo 65536.
        self._code = int(members["code"]) & 0xFFFF
        self._reason = _text("reason", members["reason"])

    @property
    def wasClean(self) -> bool:
        """Whether both sides did the closing handshake before the connection ended."""
        return self._was_clean

    @property
    def code(self) -> int:
        """The peer's close code; 1005 if it gave none, 1006 if there was no closing handshake."""
        return self._code

    @property
    def reason(self) -> str:
        """The peer's close reason."""
        return self._reason


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be str, not {value!r}")
    return value
