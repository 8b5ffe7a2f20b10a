"""The page of ``--devconsole``: a place to try a program from a browser."""

from __future__ import annotations

import time
from email.utils import formatdate

from duologue.frontends import pages
from duologue.http11 import Response

__all__ = ["Console", "load"]


class Console:
    """The page, ready to be sent.

    It finds the address to connect to in its own, so nothing of a request is in it.
    """

    def __init__(self, page: pages.Page) -> None:
        self._page = page
        self._modified = formatdate(time.time(), usegmt=True)

    def answer(self) -> Response:
        """Returns the answer that carries it."""
        return pages.answer(self._page, extra=[("Last-Modified", self._modified)])


def load() -> Console:
    """Reads the page."""
    return Console(pages.load(__package__, "console.html"))
