"""``HTTPError``: an answer that is raised rather than returned."""

from __future__ import annotations

from duologue.base.types import StatusLike
from duologue.wire.headers import HeadersLike
from duologue.wire.response import Response

__all__ = ["HTTPError"]


class HTTPError(Exception):
    """Ends a handler with an answer; raise it wherever that is the shortest way.

    Args:
        status: status code, from 400 to 599.
        detail: body, as plain text; by default the status' own phrase.
        headers: more header fields.
    """

    def __init__(
        self, status: StatusLike, detail: str | None = None, headers: HeadersLike | None = None
    ) -> None:
        code = int(status)
        if not 400 <= code <= 599:
            raise ValueError(f"an error's status is from 400 to 599, not {code}")
        response = Response(b"", code, headers)
        text = response.reason_phrase if detail is None else detail
        super().__init__(f"{code} {text}")
        self.status = code
        self.response = Response.text(f"{text}\n", code, response.headers)
