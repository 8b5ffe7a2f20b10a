"""The owner of a link while one HTTP response is awaited: what a handshake and a tunnel share.

It knows the way of the octets only: what is asked, and what an answer is worth, is for those that
derive from it.

Invariant: nothing is parsed once `Asking.done` is done.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable

from duologue.net.link import Link
from duologue.wire.http11 import Response, ResponseParser


class Asking(ABC):
    """Asks once on a link, and awaits the response.

    Args:
        parser: of the response.
    """

    def __init__(self, parser: ResponseParser) -> None:
        self._parser = parser
        self._link: Link | None = None
        self.done: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        """Done when the response is what was wanted; its exception says why it isn't."""

    def link_opened(self, link: Link) -> None:
        """Send the request on a link that was just opened."""
        self._link = link
        link.attach(self)
        self._ask(link)

    def data_received(self, data: bytes) -> None:
        """Take octets of the peer."""
        self._parse(lambda: self._parser.feed(data))

    def eof_received(self) -> None:
        """The peer sends nothing more; that may be how its response ends."""
        self._parse(self._parser.feed_eof)

    def writable(self, yes: bool) -> None:  # noqa: B027 (complete as it is)
        """A request is short: there is nothing to hold back."""

    @abstractmethod
    def connection_lost(self, exc: Exception | None) -> None:
        """The link is gone."""

    @abstractmethod
    def _ask(self, link: Link) -> None:
        """Write the request."""

    @abstractmethod
    def _judge(self, response: Response) -> None:
        """Set the result of `done`, or its exception."""

    @abstractmethod
    def _malformed(self, cause: BaseException) -> None:
        """Fail, since there is no response that can be understood."""

    def _parse(self, feed: Callable[[], Response | None]) -> None:
        if self.done.done():
            return
        try:
            response = feed()
        except Exception as exc:
            self._malformed(exc)
        else:
            if response is not None:
                self._judge(response)

    def _fail(self, exc: Exception) -> None:
        self.done.set_exception(exc)
        # Who connects may have given up; nobody else should hear of it from the collector.
        self.done.exception()
