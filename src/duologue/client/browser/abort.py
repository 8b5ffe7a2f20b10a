"""``AbortController`` and ``AbortSignal`` (DOM section 3), for ``addEventListener`` and streams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from duologue.client.browser.dom_exception import DOMException
from duologue.client.browser.event_target import EventHandler, EventTarget
from duologue.client.browser.events import Event

__all__ = ["AbortController", "AbortSignal"]


class AbortSignal(EventTarget):
    """Says whether what it was given to should go on; made by :class:`AbortController`."""

    onabort = EventHandler("abort")

    def __init__(self) -> None:
        super().__init__()
        self._aborted = False
        self._reason: Any = None
        self._algorithms: list[Callable[[], object]] = []

    @classmethod
    def abort(cls, reason: Any = None) -> Self:
        """Return a signal that is aborted already.

        Args:
            reason: as of :meth:`AbortController.abort`.
        """
        signal = cls()
        signal._abort(reason)
        return signal

    @property
    def aborted(self) -> bool:
        """Whether it is aborted."""
        return self._aborted

    @property
    def reason(self) -> Any:
        """Why it is aborted; ``None`` before."""
        return self._reason

    def throwIfAborted(self) -> None:
        """Raise the reason if it is aborted; if that is no exception, an ``AbortError``."""
        if not self._aborted:
            return
        if isinstance(self._reason, BaseException):
            raise self._reason
        raise DOMException(f"aborted: {self._reason!r}", "AbortError")

    def _when_aborted(self, algorithm: Callable[[], object]) -> Callable[[], None]:
        """Call ``algorithm`` before the event; return what takes that back."""
        self._algorithms.append(algorithm)

        def forget() -> None:
            if algorithm in self._algorithms:
                self._algorithms.remove(algorithm)

        return forget

    def _abort(self, reason: Any) -> None:
        if self._aborted:
            return
        self._aborted = True
        if reason is None:
            reason = DOMException("the operation was aborted", "AbortError")
        self._reason = reason
        algorithms, self._algorithms = self._algorithms, []
        for algorithm in algorithms:
            algorithm()
        self._fire(Event("abort"))


class AbortController:
    """Has a signal, and aborts it."""

    def __init__(self) -> None:
        self._signal = AbortSignal()

    @property
    def signal(self) -> AbortSignal:
        """The signal to give to others."""
        return self._signal

    def abort(self, reason: Any = None) -> None:
        """Abort the signal; a second time changes nothing.

        Args:
            reason: why; a :class:`DOMException` named ``AbortError`` by default.
        """
        self._signal._abort(reason)
