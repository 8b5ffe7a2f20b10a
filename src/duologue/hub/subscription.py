"""A subscription of the process itself: a function is called instead of a connection being sent to.

Knows one topic and one function; nothing of connections, other topics or processes.
"""

from __future__ import annotations

from collections.abc import Callable

from duologue.base.types import Data, LoggerLike
from duologue.base.vocabulary import Opcode
from duologue.hub.message import Message

OnMessage = Callable[[str, Data], object]


class Subscription:
    """What :meth:`Hub.subscribe` returns.

    Args:
        topic: name or filter.
        callback: called with the name of a topic and a message.
        ended: called once, when it is closed.
        logger: for what the callback raises.

    Attributes:
        topic: name or filter.
    """

    def __init__(
        self,
        topic: str,
        callback: OnMessage,
        ended: Callable[[Subscription], object],
        logger: LoggerLike,
    ) -> None:
        self.topic = topic
        self._callback = callback
        self._ended: Callable[[Subscription], object] | None = ended
        self._logger = logger

    def close(self) -> None:
        """Hear no more, not even what is on its way; closing again changes nothing."""
        ended, self._ended = self._ended, None
        if ended is not None:
            ended(self)

    def tell(self, message: Message) -> None:
        """Call back with a message, unless another callback has closed this meanwhile."""
        if self._ended is None:
            return
        payload = message.prepared.payload
        try:
            text = message.prepared.opcode == Opcode.TEXT
            self._callback(message.topic, payload.decode() if text else payload)
        except Exception:
            self._logger.exception("a callback for what is published failed")
