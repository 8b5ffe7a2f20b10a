"""An application's topics: what ``App`` has besides routes to publish, and the endpoint for others.

:class:`Publishing` is the part of :class:`~duologue.App` that passes on to its
:class:`~duologue.hub.hub.Hub`. :class:`PublishEndpoint` answers ``POST /publish``: it lets those in
who have a token, checks every message, and publishes them in order or none of them.

Must never know how topics are kept.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from duologue.app.errors import HTTPError
from duologue.base.exceptions import BackplaneError
from duologue.base.types import Data, DataLike
from duologue.connection.connection import Connection
from duologue.connection.policies import Overflow
from duologue.hub.hub import Hub, OnGap, OnSubscription
from duologue.hub.message import Message
from duologue.hub.names import check_name
from duologue.hub.presence import PresenceEvent, Present, Watch
from duologue.hub.subscription import OnMessage, Subscription
from duologue.wire.response import Response

if TYPE_CHECKING:
    from duologue.app.request import Request

__all__ = ["PublishEndpoint", "Publishing"]


class Publishing:
    """The topics of an application."""

    @property
    def topics(self) -> Hub:
        """The hub: that of the application that this one is included in, if it is."""
        raise NotImplementedError

    def publish(
        self,
        topic: str,
        message: DataLike,
        *,
        exclude: Connection | None = None,
        text: bool | None = None,
        key: str | None = None,
        overflow: Overflow | None = None,
        local: bool = False,
    ) -> Message:
        """Send a message to all who are subscribed to a topic; see :meth:`Hub.publish`."""
        return self.topics.publish(
            topic, message, exclude=exclude, text=text, key=key, overflow=overflow, local=local
        )

    def subscribe(self, topic: str, callback: OnMessage) -> Subscription:
        """Have a function called with what is published to a topic; see :meth:`Hub.subscribe`."""
        return self.topics.subscribe(topic, callback)

    async def subscribers(self, topic: str) -> int:
        """Count the subscribers of a topic in all processes; see :meth:`Hub.subscribers`."""
        return await self.topics.subscribers(topic)

    async def presence(self, topic: str) -> list[Present]:
        """List the subscribers of a topic in all processes; see :meth:`Hub.presence`."""
        return await self.topics.presence(topic)

    def watch(self, topic: str, callback: Callable[[PresenceEvent], object] | None = None) -> Watch:
        """Be told who joins and leaves a topic; see :meth:`Hub.watch`."""
        return self.topics.watch(topic, callback)

    def on_subscription(self, callback: OnSubscription) -> OnSubscription:
        """Have a function called when subscriptions change; see :meth:`Hub.on_subscription`."""
        return self.topics.on_subscription(callback)

    def on_gap(self, callback: OnGap) -> OnGap:
        """Have a function called when messages may be missed; see :meth:`Hub.on_gap`."""
        return self.topics.on_gap(callback)

    def enable_publishing(self, *, token: str | Sequence[str], path: str = "/publish") -> None:
        """Let programs outside publish, by ``POST`` with a token; :class:`Publisher` does so.

        The body is JSON: ``{"topic": "orders", "message": "text"}``, with ``base64`` instead of
        ``message`` for binary ones, or a list of such objects, all of which are published or none.
        It is answered with ``{"positions": [1]}``; 401 without a token, 400 for a body that is none
        of these, 503 if the other processes can't be reached.

        Args:
            token: what must stand in ``Authorization: Bearer``; several to change them without a
                pause. Compared in constant time.
            path: where.

        Raises:
            TypeError: If a token isn't str.
            ValueError: If a token is empty or could not stand in a header, or the path is taken.
        """
        endpoint = PublishEndpoint(
            lambda: self.topics, [token] if isinstance(token, str) else token
        )
        self.route(path, methods=["POST"])(endpoint)  # type: ignore[attr-defined]


class PublishEndpoint:
    """The handler of ``POST /publish``.

    Args:
        hub: gives the hub when a request comes.
        tokens: of which one is needed.

    Raises:
        TypeError: If one isn't str.
        ValueError: If there is none, or one could not stand in a header.
    """

    def __init__(self, hub: Callable[[], Hub], tokens: Iterable[str]) -> None:
        self._hub = hub
        if not isinstance(tokens, Iterable):
            raise TypeError(f"token must be str or a list of str, not {tokens!r}")
        self._tokens = [_check_token(token) for token in tokens]
        if not self._tokens:
            raise ValueError("publishing needs a token: nobody else may do so")

    async def __call__(self, request: Request) -> Response:
        """Answer a request."""
        if not self._knows(request.headers.get_all("Authorization")):
            raise HTTPError(401, "a token is needed", [("WWW-Authenticate", "Bearer")])
        hub = self._hub()
        body = await request.json()
        messages = read_messages(body, hub.limits.max_topic)
        published = [hub.publish(topic, message) for topic, message in messages]
        try:
            return Response.json({"positions": [await each for each in published]})
        except BackplaneError as exc:
            raise HTTPError(503, str(exc)) from exc

    def _knows(self, values: Sequence[str]) -> bool:
        """Tell whether there is a right token; takes the same time for all wrong ones."""
        scheme, _, given = values[0].partition(" ") if len(values) == 1 else ("", "", "")
        octets = given.strip(" ").encode("utf-8", "surrogateescape")
        # All are compared in any case, so that time doesn't tell which.
        matches = [hmac.compare_digest(token, octets) for token in self._tokens]
        return scheme.lower() == "bearer" and any(matches)


def _check_token(token: object) -> bytes:
    if not isinstance(token, str):
        raise TypeError(f"a token must be str, not {token!r}")
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError("a token must consist of printable ASCII characters without spaces")
    return token.encode()


def read_messages(body: Any, max_topic: int | None) -> list[tuple[str, Data]]:
    """Read what is to be published.

    Raises:
        HTTPError: 400 if anything about it is wrong.
    """
    entries = body if isinstance(body, list) else [body]
    return [_read_message(number, entry, max_topic) for number, entry in enumerate(entries)]


def _read_message(number: int, entry: Any, max_topic: int | None) -> tuple[str, Data]:
    try:
        if not isinstance(entry, dict) or len(entry) != 2 or "topic" not in entry:
            raise ValueError('it must have "topic", and either "message" or "base64"')
        topic = check_name(entry["topic"], max_topic)
        (text,) = (value for key, value in entry.items() if key != "topic")
        if not isinstance(text, str):
            raise ValueError("what it holds must be text")
        if "message" in entry:
            # Refused here if it has no UTF-8 form, before anything was published.
            return topic, text.encode().decode()
        if "base64" in entry:
            return topic, base64.b64decode(text, validate=True)
        raise ValueError('neither "message" nor "base64" is there')
    except (ValueError, TypeError, binascii.Error) as exc:
        raise HTTPError(400, f"message {number} can't be published: {exc}") from None
