"""The server's side of HTTP/1.1 on one connection, up to an upgrade (RFC 9112).

What it is: `ServerExchange`, fed with octets, hands out one request at a time and turns each answer
into octets. What it must never know: sockets, time, what a request asks for, whether an upgrade is
acceptable (that is `duologue.protocol.handshake`).

Invariants:

- The next request isn't looked at before the one handed out is answered, so pipelined requests are
  answered in order; what arrives meanwhile waits unparsed, and `wants_data` turns false above
  `Limits.max_head`.
- A request is handed out when its body has arrived. Bodies are dropped: nothing here needs them.
  One above `Limits.max_body` is refused before it is read.
- After a refusal, an answer with `Connection: close`, an HTTP/1.0 request or an upgrade, no further
  request is parsed, because where it would begin is no longer certain.
- Every answer says where it ends: `Content-Length`, or no body by definition.

Sources: RFC 9112 §6 (bodies), §9.3 (persistence), §9.3.2 (pipelining); RFC 9110 §6.6.1 (Date), §8.6
(Content-Length), §9.3.2 (HEAD), §10.1.1 (Expect), §7.8 (Upgrade).
"""

from __future__ import annotations

import dataclasses

from duologue.base.exceptions import InvalidHandshake, InvalidMessage
from duologue.base.limits import DEFAULT_LIMITS, Limits
from duologue.protocol.reply import http_date, rejection
from duologue.wire.body import Body, ChunkedBody, SizedBody
from duologue.wire.grammar import parse_connection
from duologue.wire.headers import Headers
from duologue.wire.http11 import Request, RequestParser, Response

__all__ = ["ServerExchange"]

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def _closes(headers: Headers) -> bool:
    options = [
        option for line in headers.get_all("Connection") for option in parse_connection(line)
    ]
    return any(option.lower() == "close" for option in options)


class ServerExchange:
    """Sans-I/O HTTP/1.1 server for the time before an upgrade, or for good if none comes.

    Call `receive` with what arrives, then `next_request` until it returns `None`, sending what
    `data_to_send` returns; send what `respond` returns for each request. Close the connection when
    `keep_alive` is false after an answer. After a 101 the octets in `rest` belong to the new
    protocol.

    Args:
        limits: `max_line`, `max_headers` and `max_head` bound a request's head, `max_body` its
            body.
    """

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._pending = b""
        self._head = b""
        self._parser: RequestParser | None = None
        self._body: Body | None = None
        self._incoming: Request | None = None
        self._unanswered: Request | None = None
        self._interim = b""
        self._expects = False
        self._last = False
        self._open = True
        self._eof = False
        self._upgraded = False

    @property
    def limits(self) -> Limits:
        """The bounds in force."""
        return self._limits

    @property
    def upgraded(self) -> bool:
        """Whether a 101 ended the HTTP part of the connection."""
        return self._upgraded

    @property
    def unanswered(self) -> Request | None:
        """The request handed out by `next_request` and not answered yet."""
        return self._unanswered

    @property
    def head(self) -> bytes:
        """Octets of the last request's head, as they came."""
        return self._head

    @property
    def idle(self) -> bool:
        """Whether no request is under way, not even the first octet of one."""
        return not (self._unanswered or self._incoming or self._parser or self._pending)

    @property
    def keep_alive(self) -> bool:
        """Whether another request may follow on this connection."""
        return self._open and not (self._eof and self.idle)

    @property
    def wants_data(self) -> bool:
        """Whether to go on reading; false while pipelined octets pile up behind a request."""
        limit = self._limits.max_head
        return self._open and (
            self._unanswered is None or limit is None or len(self._pending) < limit
        )

    @property
    def rest(self) -> bytes:
        """Octets that arrived after the request in hand."""
        return self._pending

    def receive(self, data: bytes) -> None:
        """Take octets from the network; dropped once no further request can come.

        Args:
            data: What arrived.
        """
        if self._open or self._upgraded:
            self._pending += data

    def receive_eof(self) -> None:
        """Note that the peer sends nothing more; requests that arrived whole are still served."""
        self._eof = True

    def data_to_send(self) -> bytes:
        """Fetch an interim answer (`100 Continue`) that `next_request` caused, usually empty."""
        interim, self._interim = self._interim, b""
        return interim

    def next_request(self) -> Request | None:
        """Hand out the next complete request.

        Returns:
            The request, or `None` while more octets are needed, while the last one isn't answered,
            and when no further request can come.

        Raises:
            SecurityError: The head or the body passes a limit.
            InvalidProtocol: The request isn't HTTP/1.1 or HTTP/1.0.
            InvalidMessage: It isn't HTTP at all, or the stream ended within it.
            InvalidHeader: A header that frames the exchange is malformed. `refuse` answers all of
                these.
        """
        if self._unanswered is not None or not self._open:
            return None
        try:
            request = self._advance()
            if request is None and self._eof:
                self._check_eof()
        except InvalidHandshake:
            self._open = False
            raise
        except Exception as exc:
            self._open = False
            raise InvalidMessage("malformed HTTP request") from exc
        self._unanswered = request
        return request

    def _advance(self) -> Request | None:
        if self._incoming is None:
            self._read_head()
        if self._incoming is None or self._body is None:
            return None
        if not self._body.complete:
            data, self._pending = self._pending, b""
            self._body.feed(data)
        if not self._body.complete:
            self._offer_to_continue(self._incoming)
            return None
        self._pending = self._body.rest or self._pending
        self._interim = b""
        request, self._incoming, self._body = self._incoming, None, None
        return request

    def _read_head(self) -> None:
        if not self._pending:
            return
        if self._parser is None:
            self._parser = RequestParser(self._limits)
        data, self._pending = self._pending, b""
        request = self._parser.feed(data)
        if request is None:
            return
        parser, self._parser = self._parser, None
        self._pending = parser.rest
        self._head = parser.head
        if parser.chunked:
            self._body = ChunkedBody(self._limits, keep=False)
        else:
            self._body = SizedBody(parser.content_length, self._limits, keep=False)
        self._incoming = request
        # HTTP/1.0 persistence is left out, since proxies get it wrong (RFC 9112 §9.3).
        self._last = request.protocol != "HTTP/1.1" or _closes(request.headers)
        expectations = request.headers.get_all("Expect")
        self._expects = any(value.strip().lower() == "100-continue" for value in expectations)

    def _check_eof(self) -> None:
        if self._parser is not None:
            self._parser.feed_eof()
        if self._body is not None:
            self._body.feed_eof()

    def _offer_to_continue(self, request: Request) -> None:
        # Once, and only to who can understand it (RFC 9110 §10.1.1).
        if self._expects and request.protocol == "HTTP/1.1":
            self._interim = _CONTINUE
        self._expects = False

    def respond(
        self, request: Request | None, response: Response, *, head_only: bool | None = None
    ) -> bytes:
        """Turn an answer into octets and decide whether the connection goes on.

        `Date` and `Content-Length` are added when missing, and `Connection: close` when the
        connection ends with this answer; `response` itself isn't changed.

        Args:
            request: The request handed out by `next_request`; `None` when none could be parsed.
            response: The answer. Status 101 ends the HTTP part.
            head_only: Leave the body out though its length is announced; by default for HEAD.

        Returns:
            The octets to send.

        Raises:
            ValueError: `request` isn't the one to be answered, the response is an interim one, or
                its `Content-Length` contradicts its body.
            InvalidHeaderFormat: The response's `Connection` header is malformed.
        """
        if request is not self._unanswered:
            raise ValueError("this isn't the request that waits for an answer")
        status = response.status_code
        if not 200 <= status < 600 and status != 101:
            raise ValueError(f"status {status} doesn't answer a request; it must be 101 or 200-599")
        if head_only is None:
            head_only = request is not None and request.method == "HEAD"
        headers = response.headers.copy()
        if "Date" not in headers:
            headers["Date"] = http_date()
        body = b""
        if status != 101:
            body = _frame_body(response, headers, head_only)
            self._open = self._open and not self._last and not _closes(headers)
            if not self._open and not _closes(headers):
                headers["Connection"] = "close"
        octets = dataclasses.replace(response, headers=headers, body=body).serialize()
        self._unanswered = None
        if status == 101:
            self._upgraded, self._open = True, False
        elif not self._open:
            self._pending = b""
        return octets

    def refuse(self, exc: BaseException) -> bytes:
        """Answer what `next_request` raised, with 400, 413, 414, 431, 501 or 505, and close.

        Args:
            exc: The exception.

        Returns:
            The octets to send.
        """
        self._open = False
        return self.respond(self._unanswered, rejection(exc))


def _frame_body(response: Response, headers: Headers, head_only: bool) -> bytes:
    """Make `headers` tell the length of the body, and return what is sent of it."""
    body = bytes(response.body)
    if response.status_code in (204, 304):
        # Neither has a body; for 204 the length mustn't be given either (RFC 9110 §8.6).
        if response.status_code == 204 and "Content-Length" in headers:
            del headers["Content-Length"]
        return b""
    lengths = headers.get_all("Content-Length")
    if not lengths:
        if "Transfer-Encoding" not in headers:
            headers["Content-Length"] = str(len(body))
    elif not head_only and lengths != [str(len(body))]:
        raise ValueError(
            f"Content-Length is {', '.join(lengths)} but the body has {len(body)} bytes"
        )
    return b"" if head_only else body
