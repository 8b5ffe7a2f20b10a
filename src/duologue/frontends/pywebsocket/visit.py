"""One connection, from its first octet to its last, in one thread.

A request for a handler becomes a WebSocket, or is refused; any other is plain HTTP: files of the
document root and, if asked for, CGI programs. Both are answered by the standard library's
``http.server``, as pywebsocket does it: HTTP/1.0, one request a connection.

Heads that differ between readers (lines without a colon, lines that continue others, too many or
too long ones) are refused.
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import http.server
import logging
import os
import time
import traceback
from typing import Any

from duologue.frontends.pywebsocket import common, handshake, http_header_util
from duologue.frontends.pywebsocket.cgi import find_program, run_program
from duologue.frontends.pywebsocket.channel import Channel, HeadTooLarge
from duologue.frontends.pywebsocket.config import Config
from duologue.frontends.pywebsocket.dispatch import Dispatcher
from duologue.frontends.pywebsocket.exceptions import (
    AbortedByUserException,
    DispatchException,
    HandshakeException,
    VersionException,
)
from duologue.frontends.pywebsocket.request import Connection, Request

__all__ = ["Visit"]

_logger = logging.getLogger(__name__)


class _Answerer(http.server.SimpleHTTPRequestHandler):
    """Reads the request and answers plain HTTP.

    Attributes:
        resource: Set if the request is for a handler.
    """

    # What http.server sets when it makes one from a socket of its own.
    rfile: Any
    wfile: Any

    def __init__(self, visit: Visit) -> None:
        self.visit = visit
        self.config = visit.config
        self.resource: str | None = None
        self.directory = visit.config.document_root or os.devnull
        self.client_address = visit.remote_addr
        self.rfile = self.wfile = visit.channel
        self.close_connection = True
        self.requestline = self.request_version = self.command = ""

    def answer(self) -> None:
        """Reads the request and answers it, unless it is for a handler."""
        try:
            self.handle_one_request()
        except HeadTooLarge as error:
            self.send_error(431 if self.requestline else 414, explain=str(error))

    def parse_request(self) -> bool:
        """Reads the head; tells whether the rest is for http.server."""
        if not super().parse_request():
            return False
        self.rfile.read_until(None)
        if self.headers.defects or any("\n" in value for value in self.headers.values()):
            self.send_error(400, explain="A header line can't be read")
            return False
        return self._authorized() and not self._is_for_handler()

    def _authorized(self) -> bool:
        if self.config.credential is None:
            return True
        expected = b"Basic " + base64.b64encode(self.config.credential.encode())
        given = self.headers.get("Authorization", "").encode("utf-8", "replace")
        if hmac.compare_digest(given, expected):
            return True
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="Pywebsocket"')
        self.end_headers()
        return False

    def _is_for_handler(self) -> bool:
        """Tells whether http.server has nothing more to do, and sets ``resource`` for a handler."""
        host, port, resource = http_header_util.parse_uri(self.path)
        if resource is None:
            _logger.info("Invalid URI: %r", self.path)
            return False
        config = self.config
        if host is not None and config.validation_host not in (None, host):
            _logger.info("Invalid host: %r (expected: %r)", host, config.validation_host)
            return False
        if port is not None and config.validation_port not in (None, port):
            _logger.info("Invalid port: %r (expected: %r)", port, config.validation_port)
            return False
        self.path = resource
        try:
            if self.visit.dispatcher.get_handler_suite(resource) is None:
                _logger.info("No handler for resource: %r", resource)
                return False
        except DispatchException as error:
            self.send_error(error.status)
            return True
        self.resource = resource
        return True

    def send_head(self) -> Any:
        """Runs a CGI program, or answers with a file."""
        if self.config.document_root is None:
            self.send_error(404)
            return None
        program = find_program(self.path, self.config)
        if program is None:
            return super().send_head()
        run_program(self, program)
        return None

    def do_POST(self) -> None:
        """Runs a CGI program."""
        program = find_program(self.path, self.config)
        if program is None:
            self.send_error(501, "Can only POST to CGI scripts")
        else:
            run_program(self, program)

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        """Logs what was answered."""
        _logger.info("%r %s %s", self.requestline, getattr(code, "value", code), size)

    def log_error(self, format: str, *args: Any) -> None:
        """Logs what went wrong; http.server calls it for every status from 400."""
        _logger.warning("%s - %r", self.visit.remote_addr[0], format % args)


class Visit:
    """A connection.

    Args:
        channel: Its octets.
        remote_addr: The peer's address.
        local_addr: The server's host and port.
        config: How handlers are served.
        dispatcher: The handlers.
    """

    def __init__(
        self,
        channel: Channel,
        remote_addr: Any,
        local_addr: tuple[str, int],
        config: Config,
        dispatcher: Dispatcher,
    ) -> None:
        self.channel = channel
        self.remote_addr = remote_addr
        self.local_addr = local_addr
        self.config = config
        self.dispatcher = dispatcher
        self._request: Request | None = None
        self._handshaking = False
        self._leaving = False

    def serve(self) -> None:
        """Does all there is to do, then closes the connection."""
        try:
            self._serve()
        except Exception:
            _logger.error(
                "Exception in processing request from: %r\n%s",
                self.remote_addr,
                traceback.format_exc(),
            )
        finally:
            self.channel.close()

    def _serve(self) -> None:
        self.channel.read_until(time.monotonic() + self.config.open_timeout)
        if self.config.tls is not None:
            try:
                self.channel.begin_tls(self.config.tls)
            except OSError as error:
                _logger.warning("%s - TLS handshake failed: %s", self.remote_addr[0], error)
                return
        answerer = _Answerer(self)
        try:
            answerer.answer()
        except (ConnectionError, TimeoutError) as error:
            _logger.info("%s - gone: %s", self.remote_addr[0], error)
            return
        if answerer.resource is not None:
            with contextlib.suppress(AbortedByUserException):
                self._talk(answerer)

    def _is_welcome(self, answerer: _Answerer) -> bool:
        """Tells whether a page may connect; who isn't a page may."""
        allowed = self.config.origins
        found = answerer.headers.get_all(common.ORIGIN_HEADER, [])
        return allowed is None or set(found) <= set(allowed)

    def _talk(self, answerer: _Answerer) -> None:
        """Opens the WebSocket and lets its handler talk."""
        if not self._is_welcome(answerer):
            answerer.send_error(common.HTTP_STATUS_FORBIDDEN)
            return
        request = Request(
            Connection(self.channel, self.remote_addr, self.local_addr),
            method=answerer.command,
            uri=answerer.path,
            protocol=answerer.request_version,
            headers_in=answerer.headers,
            is_tls=self.config.tls is not None,
            max_size=self.config.max_size,
            compression=self.config.compression,
            close_timeout=self.config.close_timeout,
        )
        self._handshaking = True
        try:
            handshake.do_handshake(request, self.dispatcher)
        except VersionException as error:
            answerer.send_response(common.HTTP_STATUS_BAD_REQUEST)
            answerer.send_header(common.SEC_WEBSOCKET_VERSION_HEADER, error.supported_versions)
            answerer.end_headers()
            return
        except HandshakeException as error:
            _logger.info("Handshake failed for error: %s", error)
            answerer.send_error(error.status or common.HTTP_STATUS_BAD_REQUEST)
            return
        request._dispatcher = self.dispatcher
        # Said before it is asked, as in go_away(): one of the two threads sees what the other said.
        self._request = request
        if self._leaving:
            request.ws_stream.go_away()
        self.dispatcher.transfer_data(request)

    def go_away(self) -> None:
        """Tells the peer that the server stops, after its handshake if that is under way."""
        self._leaving = True
        if self._request is not None:
            self._request.ws_stream.go_away()
        elif not self._handshaking:
            self.channel.interrupt()
