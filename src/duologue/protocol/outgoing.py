"""The body of an answer that is sent in parts: how each part is framed, and whether it is whole.

What it is: `OutgoingBody`, chosen by the answer's head. What it must never know: sockets, and who
makes the parts.

Invariant: what is sent is exactly as long as the head says, or an error is raised before it isn't.

Sources: RFC 9112 §6.3 (how the end is told) and §7.1 (chunks); RFC 9110 §6.4.1 (answers without a
body).
"""

from __future__ import annotations

from typing import Final

from duologue.wire.headers import Headers

__all__ = ["OutgoingBody"]

_LAST_CHUNK: Final = b"0\r\n\r\n"


class OutgoingBody:
    """Frames the parts of one answer's body.

    Args:
        status: Of the answer; 204 and 304 have no body.
        headers: Of the answer. `Transfer-Encoding` is set or removed: framing is not for
            applications to choose. A `Content-Length` is kept, and kept to.
        chunks: Whether the peer knows chunks; if not, and without a length, the connection's end
            ends the body.
        head_only: Whether the parts are only counted, as for HEAD.

    Attributes:
        endless: Whether only the connection's end ends the body.

    Raises:
        ValueError: If there are several lengths, or one that is no number.
    """

    def __init__(self, status: int, headers: Headers, *, chunks: bool, head_only: bool) -> None:
        if "Transfer-Encoding" in headers:
            del headers["Transfer-Encoding"]
        if status == 204 and "Content-Length" in headers:
            del headers["Content-Length"]
        self._silent = head_only or status in (204, 304)
        self._missing = _announced(headers)
        self._chunked = chunks and self._missing is None and status not in (204, 304)
        if self._chunked:
            headers["Transfer-Encoding"] = "chunked"
        self.endless = not (self._chunked or self._silent) and self._missing is None

    def part(self, octets: bytes) -> bytes:
        """Frame the next part; an empty one is nothing.

        Raises:
            ValueError: If the body gets longer than its `Content-Length`.
        """
        if self._silent or not octets:
            return b""
        if self._missing is not None:
            if len(octets) > self._missing:
                excess = len(octets) - self._missing
                raise ValueError(f"the body is {excess} bytes longer than its Content-Length")
            self._missing -= len(octets)
        if self._chunked:
            return b"%x\r\n%b\r\n" % (len(octets), octets)
        return octets

    def end(self) -> bytes:
        """Return what ends the body.

        Raises:
            ValueError: If the body is shorter than its `Content-Length`.
        """
        if self._silent:
            return b""
        if self._missing:
            raise ValueError(f"the body is {self._missing} bytes shorter than its Content-Length")
        return _LAST_CHUNK if self._chunked else b""


def _announced(headers: Headers) -> int | None:
    lengths = headers.get_all("Content-Length")
    if not lengths:
        return None
    if len(lengths) > 1 or not (lengths[0].isascii() and lengths[0].isdigit()):
        raise ValueError(f"Content-Length is {', '.join(lengths)}; it must be one number")
    return int(lengths[0])
