"""The server's side of HTTP/1.1 on one connection, up to an upgrade (RFC 9112).

What it is: `ServerExchange`, fed with octets, hands out one request at a time and turns each answer
into octets. What it must never know: sockets, time, what a request asks for, whether an upgrade is
acceptable (that is `duologue.protocol.handshake`).

Invariants:

- The next request isn't looked at before the one handed out is answered, so pipelined requests are
  answered in order; what arrives meanwhile waits unparsed, and `wants_data` turns false above
  `Limits.max_head`.
- A request is handed out when its body has arrived, and the body is dropped. One above
  `Limits.max_body` is refused before it is read. With `streaming` a request is handed out when its
  head has arrived; `read_body` gives the parts, and what of it isn't read is skipped up to
  `MAX_SKIPPED` octets, else nothing follows the answer.
- After a refusal, an answer with `Connection: close`, an HTTP/1.0 request or an upgrade, no further
  request is parsed, because where it would begin is no longer certain.
- A head that arrives by itself, with the same octets as the one before it, was judged then and is
  only split again: clients that keep a connection alive repeat themselves.
- Every answer says where it ends: `Content-Length`, or no body by definition.

Sources: RFC 9112 §6 (bodies), §9.3 (persistence), §9.3.2 (pipelining); RFC 9110 §6.6.1 (Date), §8.6
(Content-Length), §9.3.2 (HEAD), §10.1.1 (Expect), §7.8 (Upgrade).
"""

from __future__ import annotations

from duologue.base.exceptions import InvalidHandshake, InvalidMessage, InvalidMethod
from duologue.base.limits import DEFAULT_LIMITS, Limits
from duologue.protocol.incoming import IncomingBody
from duologue.protocol.outgoing import OutgoingBody
from duologue.protocol.reply import http_date, rejection, respond
from duologue.wire.grammar import parse_connection
from duologue.wire.headers import Headers
from duologue.wire.http11 import Request, RequestParser, Response, read_request

__all__ = ["ServerExchange"]

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def _closes(headers: Headers) -> bool:
    lines = headers.get_all("Connection")
    if not lines:
        return False
    options = [option for line in lines for option in parse_connection(line)]
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
        streaming: Hand out requests before their bodies, which `read_body` reads.

    Attributes:
        received: Octets that `receive` was given in all.
    """

    def __init__(self, limits: Limits = DEFAULT_LIMITS, *, streaming: bool = False) -> None:
        self.received = 0
        self._limits = limits
        self._streaming = streaming
        self._outgoing: OutgoingBody | None = None
        self._pending = b""
        # Octets of the last head, and its body's framing: chunked, and length.
        self._head = b""
        self._framing = (False, 0)
        self._parser: RequestParser | None = None
        self._body: IncomingBody | None = None
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
        return not (
            self._unanswered or self._incoming or self._body or self._parser or self._pending
        )

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
        self.received += len(data)
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
        if self._incoming is None and self._body is not None and not self._skip_body():
            return None
        if self._incoming is None:
            self._read_head()
        if self._incoming is None:
            return None
        if not self._streaming and not self._drop_body(self._incoming):
            return None
        request, self._incoming = self._incoming, None
        return request

    def _drop_body(self, request: Request) -> bool:
        """Read over the body of a request before it is handed out; return whether that is all."""
        assert self._body is not None
        self._take_part(self._body, self._limits.max_body)
        if self._body.complete:
            self._interim, self._body = b"", None
            return True
        self._offer_to_continue(request)
        return False

    def _skip_body(self) -> bool:
        """Read over what the last request's handler left of its body; return whether that is all.

        There is nobody left to answer: a body that is malformed or too long ends the connection.
        """
        assert self._body is not None
        data, self._pending = self._pending, b""
        try:
            self._pending = self._body.skip(data)
        except (ValueError, InvalidHandshake):
            self._open = False
            return False
        if self._body.complete:
            self._body = None
            return True
        self._open = not self._eof
        return False

    def _take_part(self, body: IncomingBody, max_body: int | None) -> bytes:
        data, self._pending = self._pending, b""
        part, self._pending = body.read(data, max_body)
        return part

    # -- bodies of requests, with `streaming`

    @property
    def body_complete(self) -> bool:
        """Whether the body of the request in hand was read to its end."""
        return self._body is None or self._body.complete

    def read_body(self, max_body: int | None) -> bytes:
        """Take what has arrived of the body of the request in hand.

        Args:
            max_body: Octets the whole body may have; the first call decides.

        Returns:
            The next part; empty if nothing has arrived, or if `body_complete`. `data_to_send` may
            have a `100 Continue` then.

        Raises:
            SecurityError: The body passes a limit.
            InvalidMessage: It is malformed, or the stream ended within it.
        """
        body = self._body
        if body is None:
            return b""
        try:
            part = self._take_part(body, max_body)
            if self._eof and not part:
                body.read_eof()
        except InvalidHandshake:
            self._open = False
            raise
        except Exception as exc:
            self._open = False
            raise InvalidMessage("malformed HTTP request") from exc
        if not part and not body.complete and self._unanswered is not None:
            self._offer_to_continue(self._unanswered)
        return part

    def _leave_body(self) -> None:
        """Decide, as the answer begins, whether what is unread of the body can be skipped."""
        if self._body is None or self._body.complete:
            return
        # With nobody having said 100 it may come or not: where the next request begins is unknown.
        if self._expects or not self._body.can_be_skipped(len(self._pending)):
            self._last = True

    def _read_head(self) -> None:
        if not self._pending:
            return
        data, self._pending = self._pending, b""
        if self._parser is None and data == self._head:
            # Clients repeat themselves, and this was judged already.
            request: Request | None = read_request(data)
        else:
            request = self._parse(data)
        if request is None:
            return
        chunked, length = self._framing
        self._body = IncomingBody(self._limits, chunked=chunked, length=length)
        self._incoming = request
        # HTTP/1.0 persistence is left out, since proxies get it wrong (RFC 9112 §9.3).
        self._last = request.protocol != "HTTP/1.1" or _closes(request.headers)
        expectations = request.headers.get_all("Expect")
        self._expects = any(value.strip().lower() == "100-continue" for value in expectations)

    def _parse(self, data: bytes) -> Request | None:
        if self._parser is None:
            self._parser = RequestParser(self._limits)
        request = self._parser.feed(data)
        if request is not None:
            parser, self._parser = self._parser, None
            self._pending, self._head = parser.rest, parser.head
            self._framing = parser.chunked, parser.content_length
        return request

    def _check_eof(self) -> None:
        if self._parser is not None:
            self._parser.feed_eof()
        if self._body is not None and self._incoming is not None:
            self._body.read_eof()

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
        head_only, headers = self._prepare(request, response, head_only)
        body = b""
        if response.status_code != 101:
            body = _frame_body(response, headers, head_only)
            self._decide_to_go_on(headers)
        octets = _serialize(response, headers, body)
        if response.status_code == 101:
            self.upgrade(request)
        else:
            self._answered()
        return octets

    def upgrade(self, request: Request | None) -> None:
        """Note that a 101 made elsewhere answers a request, and ends the HTTP part.

        Args:
            request: The request handed out by `next_request`.

        Raises:
            ValueError: `request` isn't the one to be answered.
        """
        if request is not self._unanswered or self._outgoing is not None:
            raise ValueError("this isn't the request that waits for an answer")
        self._unanswered = None
        self._upgraded, self._open = True, False

    def _prepare(
        self, request: Request | None, response: Response, head_only: bool | None
    ) -> tuple[bool, Headers]:
        if request is not self._unanswered or self._outgoing is not None:
            raise ValueError("this isn't the request that waits for an answer")
        status = response.status_code
        if not 200 <= status < 600 and status != 101:
            raise ValueError(f"status {status} doesn't answer a request; it must be 101 or 200-599")
        if head_only is None:
            head_only = request is not None and request.method == "HEAD"
        headers = response.headers.copy()
        if "Date" not in headers:
            headers["Date"] = http_date()
        return head_only, headers

    def _decide_to_go_on(self, headers: Headers) -> None:
        self._leave_body()
        self._open = self._open and not self._last and not _closes(headers)
        if not self._open and not _closes(headers):
            headers["Connection"] = "close"

    def _answered(self) -> None:
        """The answer is whole: the next request may come, behind what is left of a body."""
        if self._body is not None and self._body.complete:
            self._body = None
        self._unanswered = None
        if not self._open:
            self._pending, self._body = b"", None

    # -- answers in parts

    def begin(self, request: Request, response: Response) -> bytes:
        """Turn the head of an answer into octets; its body follows in parts.

        Its end is told by its `Content-Length`, else by chunks, else (to an HTTP/1.0 peer) by the
        connection's end. For HEAD the parts are dropped.

        Args:
            request: The request handed out by `next_request`.
            response: The answer; its body is the first part.

        Returns:
            The octets to send.

        Raises:
            ValueError: `request` isn't the one to be answered, the response is an interim one or a
                101, or its `Content-Length` makes no sense.
            InvalidHeaderFormat: The response's `Connection` header is malformed.
        """
        head_only, headers = self._prepare(request, response, None)
        if response.status_code == 101:
            raise ValueError("a 101 has no body; it is for respond()")
        chunks = request.protocol == "HTTP/1.1"
        outgoing = OutgoingBody(response.status_code, headers, chunks=chunks, head_only=head_only)
        self._last = self._last or outgoing.endless
        first = outgoing.part(bytes(response.body))
        self._decide_to_go_on(headers)
        octets = _serialize(response, headers, first)
        self._outgoing = outgoing
        return octets

    def part(self, octets: bytes) -> bytes:
        """Frame the next part of the body of the answer that `begin` began.

        Raises:
            ValueError: No answer was begun, or the body is longer than its `Content-Length`.
        """
        if self._outgoing is None:
            raise ValueError("no answer was begun")
        return self._outgoing.part(octets)

    def finish(self) -> bytes:
        """End the answer that `begin` began, and return the octets that say so.

        Raises:
            ValueError: No answer was begun, or the body is shorter than its `Content-Length`.
        """
        if self._outgoing is None:
            raise ValueError("no answer was begun")
        octets = self._outgoing.end()
        self._outgoing = None
        self._answered()
        return octets

    def stop(self) -> None:
        """Take no further request on this connection, once the one in hand is answered."""
        self._last = True

    def refuse(self, exc: BaseException) -> bytes:
        """Answer what `next_request` raised, with 400, 413, 414, 431, 501 or 505, and close.

        Args:
            exc: The exception.

        Returns:
            The octets to send.
        """
        self._open = False
        response = rejection(exc)
        if self._streaming and isinstance(exc, InvalidMethod):
            # Of any path's: 405 would name those that the path has (RFC 9110 §15.6.2).
            response = respond(501, f"unknown HTTP method: {exc.method}\n")
        return self.respond(self._unanswered, response)


def _serialize(response: Response, headers: Headers, body: bytes) -> bytes:
    return Response(response.status_code, response.reason_phrase, headers, body).serialize()


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
