"""An asyncio event loop whose selector is the engine's poller.

Under a loop of somebody else the poller is one descriptor among others: each wake-up costs a turn
of that loop, some 5 µs. Where the loop can be chosen, the poller is the selector itself: its
``select`` handles our own sockets in C before it hands asyncio the rest, and goes on waiting as
long as only ours were ready and the loop has nothing due: then no turn takes place at all.

Not on Windows, where there is no poller.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Iterator, Mapping, Sized
from contextvars import Context
from typing import Any, TypeVarTuple

from duologue.net.poller import Poller, adopt

Ts = TypeVarTuple("Ts")

BUSY_POLL = 20e-6
"""Seconds: about twice what falling asleep and being woken takes."""

# As in polling.h.
_READ = 0x001
_WRITE = 0x004
_MIGHT_READ = ~_WRITE
_MIGHT_WRITE = ~_READ


def _number(fileobj: Any) -> int:
    """Descriptor of ``fileobj``, which has one or is one."""
    try:
        number = fileobj if isinstance(fileobj, int) else int(fileobj.fileno())
    except (AttributeError, TypeError, ValueError):
        raise ValueError(f"invalid file object: {fileobj!r}") from None
    if number < 0:
        raise ValueError(f"invalid file descriptor: {number}")
    return number


class _Map(Mapping[Any, selectors.SelectorKey]):
    """Keys by descriptor or by the object that has one, as :mod:`selectors` gives them."""

    def __init__(self, keys: dict[int, selectors.SelectorKey]) -> None:
        self._keys = keys

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, fileobj: Any) -> selectors.SelectorKey:
        try:
            return self._keys[_number(fileobj)]
        except ValueError:
            # Closed meanwhile: only the object itself can tell what it was.
            for key in self._keys.values():
                if key.fileobj is fileobj:
                    return key
            raise KeyError(f"{fileobj!r} is not registered") from None

    def __iter__(self) -> Iterator[Any]:
        return iter(self._keys)


class PollerSelector(selectors.BaseSelector):
    """A selector for :class:`asyncio.SelectorEventLoop` that is a :class:`Poller` as well."""

    def __init__(self) -> None:
        self._keys: dict[int, selectors.SelectorKey] = {}
        self._map: _Map | None = _Map(self._keys)
        self.poller = Poller(self)
        self.due: Sized | None = None
        """Callbacks that the loop runs next, if they can be seen."""

    def hurry(self) -> None:
        """Have :meth:`select` return after the batch that it is in: the loop has to do."""
        self.poller.hurry()

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Watch a descriptor; see :meth:`selectors.BaseSelector.register`."""
        if not events or events & ~(selectors.EVENT_READ | selectors.EVENT_WRITE):
            raise ValueError(f"invalid events: {events!r}")
        number = _number(fileobj)
        if number in self._keys:
            raise KeyError(f"{fileobj!r} (FD {number}) is already registered")
        self.poller.add_foreign(number, _interest(events))
        key = selectors.SelectorKey(fileobj, number, events, data)
        self._keys[number] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """Watch a descriptor no more; see :meth:`selectors.BaseSelector.unregister`."""
        key = _Map(self._keys)[fileobj]
        del self._keys[key.fd]
        self.poller.remove_foreign(key.fd, _interest(key.events))
        return key

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Watch for other events; see :meth:`selectors.BaseSelector.modify`."""
        key = _Map(self._keys)[fileobj]
        if events != key.events:
            self.poller.change_foreign(key.fd, _interest(key.events), _interest(events))
        key = self._keys[key.fd] = key._replace(events=events, data=data)
        return key

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait, handle our own sockets, and return what is ready of the loop's."""
        seconds = -1.0 if timeout is None else max(timeout, 0.0)
        ready = []
        for key, seen in self.poller.select(seconds, self._keys, self.due):
            events = (selectors.EVENT_READ if seen & _MIGHT_READ else 0) | (
                selectors.EVENT_WRITE if seen & _MIGHT_WRITE else 0
            )
            if events & key.events:
                ready.append((key, events & key.events))
        return ready

    def close(self) -> None:
        """Forget all descriptors, and close the engine's."""
        self.poller.shut()
        self._keys.clear()
        self._map = None

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """Keys of what is watched."""
        return self._map  # type: ignore[return-value]


def _interest(events: int) -> int:
    return (_READ if events & selectors.EVENT_READ else 0) | (
        _WRITE if events & selectors.EVENT_WRITE else 0
    )


class EventLoop(asyncio.SelectorEventLoop):
    """asyncio's own event loop on the engine's poller.

    ::

        with asyncio.Runner(loop_factory=duologue.EventLoop) as runner:
            runner.run(main())

    While only the engine's sockets are ready and nothing else is to be done, no turn of the loop
    takes place: one goes on when a callback is scheduled, a timer is due, a descriptor of somebody
    else is ready, another thread calls, a signal arrives or the loop is stopped.

    Args:
        busy_poll: Seconds, at most 0.001, that the loop goes on looking for something ready before
            it sleeps. It does so only while it had to wait for less than twice that several times
            in a row: a peer that answers at once is heard at once, and a loop that waits for long
            sleeps as ever. 0.0 never looks, which takes the least of the processor's time.

    Raises:
        ValueError: If `busy_poll` is out of range.
    """

    selector_class: type[PollerSelector] = PollerSelector

    def __init__(self, *, busy_poll: float = BUSY_POLL) -> None:
        selector = self.selector_class()
        self._hurry = selector.hurry
        super().__init__(selector)
        try:
            selector.poller.poll_busily(busy_poll)
        except ValueError:
            self.close()
            raise
        # asyncio has no public name for it. Without it every batch is a turn of the loop.
        due = getattr(self, "_ready", None)
        selector.due = due if isinstance(due, Sized) else None
        adopt(self, selector.poller)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """See :meth:`asyncio.loop.call_at`."""
        self._hurry()
        return super().call_at(when, callback, *args, context=context)

    def stop(self) -> None:
        """See :meth:`asyncio.loop.stop`."""
        self._hurry()
        super().stop()
