"""HTTP/1.1 requests and responses as values, and parsers that read them from a hostile peer.

`HeadReader` bounds the octets, llhttp (through httptools) judges the grammar, and this module
judges what llhttp lets pass but a server must not: a missing or second `Host`, a body announced
twice, another version. Two readings of a head must agree for it to be accepted. It must never know
what a WebSocket handshake needs; HTTP/1.0, POST and the like are reported, not refused.

Invariants:
    * a head is judged when its last octet is there, its first line when that line is there;
    * nothing after a request's head is read: its body, or frames, are in `rest`;
    * the outcome does not depend on how octets were split;
    * what `serialize` writes is one message: no field of it can smuggle in a line break.

Octets above 127 in header values and reason phrases are obs-text: taken as ISO-8859-1 and written
back the same (RFC 9110 section 5.5). Elsewhere they are errors.

Sources: RFC 9110 sections 5, 6, 7.2 and 15; RFC 9112 sections 2 to 7; RFC 6455 section 4.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, replace
from types import EllipsisType

import httptools

from duologue.base.exceptions import (
    InvalidMethod,
    InvalidProtocol,
    RequestLineTooLong,
    StatusLineTooLong,
)
from duologue.base.limits import DEFAULT_LIMITS, Limits
from duologue.base.types import BytesLike
from duologue.version import version
from duologue.wire.body import Body, ChunkedBody, EndlessBody, SizedBody
from duologue.wire.head import HeadReader
from duologue.wire.headers import Headers
from duologue.wire.response import Response

__all__ = [
    "SERVER",
    "USER_AGENT",
    "Request",
    "RequestParser",
    "Response",
    "ResponseParser",
    "read_request",
]

_PRODUCT = f"Python/{sys.version_info[0]}.{sys.version_info[1]} duologue/{version}"

USER_AGENT = _PRODUCT
"""Default value of a client's `User-Agent` header."""

SERVER = _PRODUCT
"""Default value of a server's `Server` header."""

_is_token = re.compile(rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+").fullmatch
# A fragment never travels (RFC 9110 section 7.1). Other octets that RFC 3986 excludes do: the
# WHATWG URL parser leaves |, ^ and the like in queries.
_is_target = re.compile(rb"[!\"$-~]+").fullmatch
_is_version = re.compile(rb"HTTP/[0-9]\.[0-9]").fullmatch
_is_status = re.compile(rb"[1-5][0-9][0-9]").fullmatch
# 18 digits say more than any machine can hold, and int() stays cheap.
_is_length = re.compile(r"[0-9]{1,18}").fullmatch
_is_host = re.compile(
    r"(?:\[[0-9A-Fa-fvV:.!$&'()*+,;=_~-]+\]|[-0-9A-Za-z._~%!$&'()*+,;=]*)(?::[0-9]*)?"
).fullmatch


@dataclass
class Request:
    """The head of an HTTP request.

    Attributes:
        path: Request target as it stands in the request line, query included; ASCII.
        headers: Header fields.
        method: Method.
        protocol: "HTTP/1.1", or "HTTP/1.0" for a request received from an old peer.
    """

    path: str
    headers: Headers
    method: str = "GET"
    protocol: str = "HTTP/1.1"

    def serialize(self) -> bytes:
        """Return the request as octets.

        Raises:
            ValueError: If method, path or protocol cannot stand in a request line.
        """
        line = f"{self.method} {self.path} {self.protocol}"
        try:
            _split_request_line(line.encode("ascii"))
        except (UnicodeEncodeError, ValueError, InvalidProtocol) as exc:
            raise ValueError(f"cannot send this request line: {line!r}") from exc
        return f"{line}\r\n".encode("ascii") + self.headers.serialize()


def read_request(head: bytes) -> Request:
    """Read again a request's head that `RequestParser` accepted; nothing is judged this time.

    Args:
        head: Octets of the head, from the method to the empty line; see `RequestParser.head`.

    Returns:
        What the parser returned. Takes about 1 microsecond, and another one when the headers are
        looked at.
    """
    method, path, protocol = head[: head.index(b"\r")].decode("ascii").split(" ")
    return Request(path, Headers.of_head(head), method, protocol)


class RequestParser:
    """Reads one request's head. After an error it is of no further use.

    Args:
        limits: Uses `max_line`, `max_headers` and `max_head`.

    Attributes:
        content_length: Octets of body announced, 0 if none; known with the request.
        chunked: Whether a body in chunks follows; known with the request.
    """

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self.content_length = 0
        self.chunked = False
        self._done = False
        self._reader = HeadReader(
            limits, "request", RequestLineTooLong, _split_request_line, skip_empty=True
        )

    @property
    def head(self) -> bytes:
        """Octets of the head, known once it is complete."""
        return self._reader.octets

    @property
    def rest(self) -> bytes:
        """Octets that came after the head."""
        return self._reader.rest

    def feed(self, data: BytesLike) -> Request | None:
        """Take octets from the peer.

        Args:
            data: The next octets.

        Returns:
            The request when its head is complete, else None.

        Raises:
            ValueError: If this is not an HTTP/1 request.
            InvalidMethod: If the method is not one that HTTP knows.
            InvalidProtocol: If the version is neither 1.1 nor 1.0.
            NotImplementedError: If the body has another transfer coding than "chunked".
            SecurityError: If the head passes a limit: `RequestLineTooLong`, `HeaderLineTooLong`,
                `TooManyHeaders`; itself for `max_head`.
            RuntimeError: If the request is complete already.
        """
        if self._done:
            raise RuntimeError("this request is complete; what follows it is in rest")
        lines = self._reader.feed(data)
        if lines is None:
            return None
        assert self._reader.first is not None
        method, path, protocol = self._reader.first
        headers = _read_fields(lines)
        length, self.chunked = _read_framing(headers, protocol)
        self.content_length = length or 0
        _judge(httptools.HttpRequestParser, self._reader.octets, method)
        _check_host(headers, protocol)
        self._done = True
        return Request(path, headers, method, protocol)

    def feed_eof(self) -> None:
        """Take the end of the stream.

        Raises:
            EOFError: If the request is not complete.
        """
        if not self._done:
            raise EOFError(f"connection ended {self._reader.position}")


class ResponseParser:
    """Reads one response, body included.

    Interim responses (100-199 other than 101) are dropped, as RFC 9110 section 15.2 allows; all
    heads together stay within `max_head`. A response in HTTP/1.0 is accepted unless it is a 101.
    After an error the parser is of no further use.

    Args:
        limits: Uses `max_line`, `max_headers`, `max_head` and `max_body`.
        max_body: Octets allowed in the body instead of `limits.max_body`; None lifts the limit.
        head_only: Whether the response ends with its head, whatever that says: so does the answer
            to CONNECT that opens a tunnel (RFC 9112 section 6.3).
    """

    def __init__(
        self,
        limits: Limits = DEFAULT_LIMITS,
        *,
        max_body: int | EllipsisType | None = ...,
        head_only: bool = False,
    ) -> None:
        self._head_only = head_only
        self._limits = (
            limits if isinstance(max_body, EllipsisType) else replace(limits, max_body=max_body)
        )
        self._status = 0
        self._reason = ""
        self._interim = 0
        self._rest = b""
        self._response: Response | None = None
        self._body: Body | None = None
        self._done = False
        self._reader = self._new_reader()

    @property
    def protocol(self) -> str:
        """Version, "HTTP/1.1" or "HTTP/1.0", known once the status line is; empty before."""
        return "" if self._reader.first is None else self._reader.first[0]

    @property
    def rest(self) -> bytes:
        """Octets that came after the response."""
        return self._rest

    def feed(self, data: BytesLike) -> Response | None:
        """Take octets from the peer.

        Args:
            data: The next octets.

        Returns:
            The response when its body is complete, else None. A body without announced length
            completes with `feed_eof` only.

        Raises:
            ValueError: If this is not an HTTP/1 response.
            InvalidProtocol: If the version is neither 1.1 nor 1.0, or a 101 is in HTTP/1.0.
            NotImplementedError: If the body has another transfer coding than "chunked".
            SecurityError: If a limit is passed: `StatusLineTooLong`, `HeaderLineTooLong`,
                `TooManyHeaders`; itself for `max_head` and `max_body`.
            RuntimeError: If the response is complete already.
        """
        if self._done:
            raise RuntimeError("this response is complete; what follows it is in rest")
        while self._body is None:
            lines = self._reader.feed(data)
            if lines is None:
                return None
            data = self._reader.rest
            assert self._reader.first is not None
            _, self._status, self._reason = self._reader.first
            if 100 <= self._status < 200 and self._status != 101:
                self._drop_interim()
            else:
                self._body = self._start(lines)
        if not self._body.complete:
            self._body.feed(data)
        else:
            self._body.rest = bytes(data)
        return self._finish() if self._body.complete else None

    def feed_eof(self) -> Response | None:
        """Take the end of the stream.

        Returns:
            The response if the end of the stream completes it; None if it was complete before.

        Raises:
            EOFError: If the response is not complete.
        """
        if self._done:
            return None
        if self._body is None:
            raise EOFError(f"connection ended {self._reader.position}")
        self._body.feed_eof()
        return self._finish()

    def _new_reader(self) -> HeadReader[tuple[str, int, str]]:
        limits = self._limits
        if limits.max_head is not None and self._interim:
            # At least 1: a limit of 0 has no meaning, and no head is that short.
            limits = replace(limits, max_head=max(1, limits.max_head - self._interim))
        return HeadReader(
            limits, "response", StatusLineTooLong, _split_status_line, skip_empty=False
        )

    def _drop_interim(self) -> None:
        self._interim += len(self._reader.octets)
        self._reader = self._new_reader()

    def _start(self, lines: list[bytes]) -> Body:
        """Judge the head and choose how to read the body (RFC 9112 section 6.3)."""
        if self._status == 101 and self.protocol != "HTTP/1.1":
            raise InvalidProtocol(self.protocol)
        headers = _read_fields(lines)
        length, chunked = (0, False) if self._head_only else _read_framing(headers, self.protocol)
        _judge(httptools.HttpResponseParser, self._reader.octets, "")
        self._response = Response(self._status, self._reason, headers)
        if self._head_only or self._status in (101, 204, 304):
            return SizedBody(0, self._limits)
        if chunked:
            return ChunkedBody(self._limits)
        if length is not None:
            return SizedBody(length, self._limits)
        return EndlessBody(self._limits)

    def _finish(self) -> Response | None:
        if self._body is not None and self._response is not None:
            self._response.body = bytes(self._body.data)
            self._rest = self._body.rest
            self._done = True
        return self._response


class _Judge:
    """Remembers whether llhttp accepted the head."""

    def __init__(self) -> None:
        self.accepted = False

    def on_headers_complete(self) -> None:
        self.accepted = True


def _judge(
    parser: type[httptools.HttpRequestParser | httptools.HttpResponseParser],
    head: bytes,
    method: str,
) -> None:
    """Let llhttp judge a whole head.

    It reports an upgrade, and what it thinks of the body's framing, after it has accepted the
    head; the upgrade is welcome and the framing has been judged by stricter rules.
    """
    judge = _Judge()
    try:
        parser(judge).feed_data(head)
    except httptools.HttpParserInvalidMethodError:
        raise InvalidMethod(method) from None
    except (httptools.HttpParserError, httptools.HttpParserUpgrade) as exc:
        if not judge.accepted:
            raise ValueError(f"malformed HTTP head: {exc}") from None
    if not judge.accepted:
        raise ValueError("malformed HTTP head")


def _split_request_line(line: bytes) -> tuple[str, str, str]:
    parts = line.split(b" ")
    if len(parts) != 3 or not _is_version(parts[2]):
        raise ValueError(f"invalid HTTP request line: {_show(line)}")
    method, target, protocol = parts
    if not _is_token(method) or not _is_target(target):
        raise ValueError(f"invalid HTTP request line: {_show(line)}")
    return method.decode("ascii"), target.decode("ascii"), _check_protocol(protocol)


def _split_status_line(line: bytes) -> tuple[str, int, str]:
    version, _, after = line.partition(b" ")
    if not _is_version(version):
        raise ValueError(f"invalid HTTP status line: {_show(line)}")
    protocol = _check_protocol(version)
    status, _, reason = after.partition(b" ")
    if not _is_status(status):
        raise ValueError(f"invalid HTTP status line: {_show(line)}")
    return protocol, int(status), reason.decode("iso-8859-1")


def _check_protocol(protocol: bytes) -> str:
    if protocol == b"HTTP/1.1":
        return "HTTP/1.1"
    if protocol == b"HTTP/1.0":
        return "HTTP/1.0"
    raise InvalidProtocol(protocol.decode("ascii"))


def _read_fields(lines: list[bytes]) -> Headers:
    """Split header lines into fields; llhttp judges their grammar afterwards."""
    headers = Headers()
    add = headers.set_insecure
    for line in lines[1:]:
        name, _, value = line.decode("iso-8859-1").partition(":")
        add(name, value.strip(" \t"))
    return headers


def _read_framing(headers: Headers, protocol: str) -> tuple[int | None, bool]:
    """Return the announced length, None without one, and whether the body comes in chunks.

    Ambiguity here is how requests are smuggled past proxies, so nothing is repaired (RFC 9112
    section 6.3).
    """
    lengths = headers.get_all("Content-Length")
    codings = headers.get_all("Transfer-Encoding")
    if codings and lengths:
        raise ValueError("HTTP head has both Content-Length and Transfer-Encoding")
    if codings:
        if protocol == "HTTP/1.0":
            raise ValueError("HTTP/1.0 head has Transfer-Encoding")
        if len(codings) > 1 or codings[0].lower() != "chunked":
            raise NotImplementedError(f"unsupported transfer coding: {', '.join(codings)}")
        return None, True
    if not lengths:
        return None, False
    if len(lengths) > 1 or not _is_length(lengths[0]):
        raise ValueError(f"invalid Content-Length: {', '.join(lengths)}")
    return int(lengths[0]), False


def _check_host(headers: Headers, protocol: str) -> None:
    """Require exactly one valid Host; HTTP/1.0 may lack it (RFC 9112 section 3.2)."""
    hosts = headers.get_all("Host")
    if not hosts and protocol == "HTTP/1.1":
        raise ValueError("HTTP/1.1 request has no Host header")
    if len(hosts) > 1:
        raise ValueError(f"HTTP request has {len(hosts)} Host headers")
    if hosts and not _is_host(hosts[0]):
        raise ValueError(f"invalid Host header: {hosts[0]}")


def _show(line: bytes) -> str:
    """Make a line from the peer fit for an error text."""
    text = line[:100].decode("ascii", "backslashreplace")
    return repr(text + "..." if len(line) > 100 else text)
