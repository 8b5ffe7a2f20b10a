"""``request.ws_stream``: messages over a connection, each call waiting in the calling thread.

Several threads may send, and receive, at once: frames are never mixed up. A ``receive_message`` of
one thread waits until that of another is done.

What a message may weigh is bounded (``--max-size``); what arrives and isn't received stays in the
system's buffers, so that the peer has to wait. Control frames between the fragments of a message
are taken as RFC 6455 section 5.4 has it.
"""

from __future__ import annotations

import struct
import threading
import time
from collections import deque
from typing import Any

from duologue.frontends.pywebsocket import common, util
from duologue.frontends.pywebsocket.exceptions import (
    BadOperationException,
    ConnectionTerminatedException,
    InvalidFrameException,
    InvalidUTF8Exception,
    MessageTooBigException,
    UnsupportedFrameException,
)
from duologue.frontends.pywebsocket.frames import (
    MAX_CONTROL_PAYLOAD,
    FragmentedFrameBuilder,
    Frame,
    create_binary_frame,
    create_close_frame,
    create_closing_handshake_body,
    create_header,
    create_length_header,
    create_ping_frame,
    create_pong_frame,
    create_text_frame,
    parse_frame,
)
from duologue.frontends.pywebsocket.short import ShortStream

__all__ = [
    "BadOperationException",
    "ConnectionTerminatedException",
    "FragmentedFrameBuilder",
    "Frame",
    "InvalidFrameException",
    "InvalidUTF8Exception",
    "MessageTooBigException",
    "Stream",
    "StreamOptions",
    "UnsupportedFrameException",
    "create_binary_frame",
    "create_close_frame",
    "create_closing_handshake_body",
    "create_header",
    "create_length_header",
    "create_ping_frame",
    "create_pong_frame",
    "create_text_frame",
    "parse_frame",
]

MAX_PINGS = 100
"""Pings remembered until their pongs come; the oldest is forgotten first."""

FRAGMENT_COST = 64
"""Octets of ``--max-size`` that each fragment of a message takes besides its payload."""


class StreamOptions:
    """What is done to frames and messages on their way; extensions set it up.

    Attributes:
        outgoing_frame_filters, incoming_frame_filters: Their ``filter(frame)`` changes a
            :class:`Frame`.
        outgoing_message_filters: Their ``filter(message, end, binary)`` returns what to send.
        incoming_message_filters: Their ``filter(message)`` returns what has come.
        encode_text_message_to_utf8: Whether the stream is to encode texts; ``False`` if a filter
            does.
        mask_send, unmask_receive: Whether frames sent are masked, and those that come must be.
        max_size: Octets in a message; ``None`` lifts the limit.
        close_timeout: Seconds in which the peer must answer a Close frame; ``None`` lifts it.
    """

    def __init__(self) -> None:
        self.outgoing_frame_filters: list[Any] = []
        self.incoming_frame_filters: list[Any] = []
        self.outgoing_message_filters: list[Any] = []
        self.incoming_message_filters: list[Any] = []
        self.encode_text_message_to_utf8 = True
        self.mask_send = False
        self.unmask_receive = True
        self.max_size: int | None = None
        self.close_timeout: float | None = None


class Stream(ShortStream):
    """Messages of one connection.

    Args:
        request: The opening handshake's; gets ``client_terminated`` and ``server_terminated``.
        options: See :class:`StreamOptions`.
    """

    def __init__(self, request: Any, options: StreamOptions) -> None:
        self._logger = util.get_class_logger(self)
        self._request = request
        self._options = options
        self._read_octets = request.connection.read
        # Every frame is logged at the level FINE; otherwise most take a shorter way.
        self._fine = self._logger.isEnabledFor(common.LOGLEVEL_FINE)
        self._take_short_way(None if self._fine else getattr(request.connection, "channel", None))
        self._fragments: list[bytes] = []
        self._weight = 0
        self._message_opcode = None
        self._last_opcode = None
        self._unreadable = None
        self._pings: deque[bytes] = deque(maxlen=MAX_PINGS)
        self._writer = FragmentedFrameBuilder(
            options.mask_send, options.outgoing_frame_filters, options.encode_text_message_to_utf8
        )
        # Reentrant: a hook that a frame triggers may receive, and close.
        self._receiving = threading.RLock()
        self._sending = threading.RLock()
        request.client_terminated = False
        request.server_terminated = False

    # -- receiving

    def receive_bytes(self, length: int) -> bytes:
        """Returns that many octets, read past all framing.

        Raises:
            ConnectionTerminatedException: If the connection ends before.
        """
        octets = b""
        while len(octets) < length:
            try:
                part: bytes = self._read_octets(length - len(octets))
            except OSError as error:
                raise ConnectionTerminatedException(
                    f"Receiving {length} byte failed. {type(error).__name__} ({error}) occurred"
                ) from error
            if not part:
                peer = self._request.connection.remote_addr
                raise ConnectionTerminatedException(
                    f"Receiving {length} byte failed. Peer ({peer!r}) closed connection"
                )
            octets = octets + part if octets else part
        return octets

    def _receive_frame(self) -> Frame:
        if self._unreadable is not None:
            raise self._unreadable
        options = self._options
        room = None if options.max_size is None else max(options.max_size - self._weight, 0)
        try:
            opcode, payload, fin, rsv1, rsv2, rsv3 = parse_frame(
                self.receive_bytes, self._logger, 13, options.unmask_receive, room
            )
        except MessageTooBigException as error:
            self._unreadable = error
            raise
        if self._fine:
            self._logger.log(
                common.LOGLEVEL_FINE,
                "Received frame: FIN=%d, RSV1=%d, RSV2=%d, RSV3=%d, opcode=%d, payload_length=%d",
                *(fin, rsv1, rsv2, rsv3, opcode, len(payload)),
            )
        frame = Frame(fin, rsv1, rsv2, rsv3, opcode, payload)
        if opcode >> 3 == 1 and len(payload) > MAX_CONTROL_PAYLOAD:
            raise InvalidFrameException(
                f"Payload data size of control frames must be {MAX_CONTROL_PAYLOAD} bytes or less"
            )
        for each in options.incoming_frame_filters:
            each.filter(frame)
        return frame

    def receive_filtered_frame(self) -> Frame:
        """Returns the next frame, which must be a whole text or binary message; for tests."""
        with self._receiving:
            frame = self._receive_frame()
            if not frame.fin:
                raise InvalidFrameException("receive_filtered_frame() got a fragment")
            if frame.opcode not in (common.OPCODE_TEXT, common.OPCODE_BINARY):
                raise InvalidFrameException("receive_filtered_frame() got a control frame")
            for each in self._options.incoming_message_filters:
                frame.payload = each.filter(frame.payload)
            return frame

    def _receive_any(self) -> str | bytes | None:
        """Waits for a message of whichever kind; see :meth:`receive_message`."""
        if self._request.client_terminated:
            raise BadOperationException(
                "Requested receive_message after receiving a closing handshake"
            )
        while True:
            frame = self._receive_frame()
            if frame.rsv1 or frame.rsv2 or frame.rsv3:
                raise UnsupportedFrameException(
                    f"Unsupported flag is set (rsv = {frame.rsv1}{frame.rsv2}{frame.rsv3})"
                )
            opcode = frame.opcode or 0
            if opcode >> 3 == 1:
                if self._control(opcode, frame):
                    return None
            elif opcode > common.OPCODE_BINARY:
                raise UnsupportedFrameException(f"Opcode {opcode} is not supported")
            else:
                message = self._assemble(opcode, frame)
                if message is not None:
                    return self._deliver(message)

    def _assemble(self, opcode: int, frame: Frame) -> bytes | None:
        """Adds a data frame to its message; returns the message if that was its last."""
        if (opcode == common.OPCODE_CONTINUATION) != (self._message_opcode is not None):
            raise InvalidFrameException(
                "A new message began before the last one ended"
                if opcode
                else "A continuation of no message"
            )
        if opcode:
            self._message_opcode = opcode
        if not frame.fin:
            self._fragments.append(frame.payload)
            self._weight += len(frame.payload) + FRAGMENT_COST
            return None
        self._last_opcode, self._message_opcode = self._message_opcode, None
        if not self._fragments:
            return frame.payload
        message = b"".join((*self._fragments, frame.payload))
        self._fragments, self._weight = [], 0
        return message

    def _deliver(self, message: bytes) -> str | bytes:
        try:
            for each in self._options.incoming_message_filters:
                message = each.filter(message)
        except MessageTooBigException as error:
            self._unreadable = error
            raise
        if self._last_opcode != common.OPCODE_TEXT:
            return message
        try:
            return message.decode()
        except UnicodeDecodeError as error:
            raise InvalidUTF8Exception(error) from None

    def _control(self, opcode: int, frame: Frame) -> bool:
        """Deals with a control frame; tells whether it was Close."""
        if not frame.fin:
            raise InvalidFrameException("Control frames must not be fragmented")
        self._last_opcode = opcode
        if opcode == common.OPCODE_CLOSE:
            self._close_received(frame.payload)
            return True
        if opcode == common.OPCODE_PING:
            handler = getattr(self._request, "on_ping_handler", None)
            if handler is None:
                self._write(common.OPCODE_PONG, frame.payload)
            else:
                handler(self._request, frame.payload)
        elif opcode == common.OPCODE_PONG:
            self._pong_received(frame.payload)
        else:
            raise UnsupportedFrameException(f"Opcode {opcode} is not supported")
        return False

    def _pong_received(self, body: bytes) -> None:
        if body in self._pings:
            # Those before it will not be answered any more.
            while self._pings.popleft() != body:
                pass
        handler = getattr(self._request, "on_pong_handler", None)
        if handler is not None:
            handler(self._request, body)

    def _close_received(self, body: bytes) -> None:
        request = self._request
        request.client_terminated = True
        if len(body) == 1:
            raise InvalidFrameException(
                "If a close frame has status code, the length of status code must be 2 octet"
            )
        if body:
            request.ws_close_code = struct.unpack("!H", body[:2])[0]
            request.ws_close_reason = body[2:].decode("utf-8", "replace")
        else:
            request.ws_close_code = common.STATUS_NO_STATUS_RECEIVED
        if request.server_terminated:
            return
        code: int | None = common.STATUS_NORMAL_CLOSURE
        reason: str | None = ""
        dispatcher = getattr(request, "_dispatcher", None)
        if dispatcher is not None:
            code, reason = dispatcher.passive_closing_handshake(request)
        if code is None and reason:
            self._logger.warning("Handler specified reason despite code being None")
            reason = ""
        self._send_close(code, reason or "")

    def get_last_received_opcode(self) -> int | None:
        """Returns the opcode of what ``receive_message`` has just received."""
        return self._last_opcode

    # -- sending

    def _write(self, opcode: int, body: bytes) -> None:
        """Sends a control frame."""
        create = create_ping_frame if opcode == common.OPCODE_PING else create_pong_frame
        with self._sending:
            options = self._options
            frame = create(body, options.mask_send, options.outgoing_frame_filters)
            self._request.connection.write(frame)

    def _send_any(self, message: str | bytes, end: bool, binary: bool) -> None:
        """Sends a message of whichever kind; see :meth:`send_message`."""
        if self._request.server_terminated:
            raise BadOperationException(
                "Requested send_message after sending out a closing handshake"
            )
        if binary == isinstance(message, str):
            raise BadOperationException(
                f"Message for {'binary' if binary else 'text'} frame must not be instance of "
                f"{type(message).__name__}"
            )
        with self._sending:
            payload: Any = message
            for each in self._options.outgoing_message_filters:
                payload = each.filter(payload, end, binary)
            try:
                frame = self._writer.build(payload, end, binary)
            except ValueError as error:
                raise BadOperationException(error) from error
            self._request.connection.write(frame)

    def send_ping(self, body: str | bytes, binary: bool = False) -> None:
        """Sends a Ping.

        Args:
            body: At most 125 octets; a text is sent as UTF-8.
            binary: Says that ``body`` is octets; they are recognised anyway.

        Raises:
            BadOperationException: If the body is longer.
        """
        octets = body.encode() if isinstance(body, str) else body
        self._write(common.OPCODE_PING, octets)
        self._pings.append(octets)

    def _close_frame(self, code: int | None, reason: str | bytes) -> bytes:
        options = self._options
        body = create_closing_handshake_body(code, reason)
        return create_close_frame(body, options.mask_send, options.outgoing_frame_filters)

    def _send_close(self, code: int | None, reason: str | bytes) -> None:
        frame = self._close_frame(code, reason)
        with self._sending:
            # One is enough, whichever thread was first.
            if not self._request.server_terminated:
                self._request.server_terminated = True
                self._request.connection.write(frame)

    def close_connection(
        self,
        code: int | None = common.STATUS_NORMAL_CLOSURE,
        reason: str | bytes = "",
        wait_response: bool = True,
    ) -> None:
        """Sends a Close frame and waits for the peer's; does nothing if one was sent before.

        Args:
            code: From 1000 to 4999 without 1005, 1006, 1015; ``None`` sends an empty frame.
            reason: At most 123 octets of UTF-8; none without a code.
            wait_response: ``False`` doesn't wait. It never does for 1001 and 1002.

        Raises:
            BadOperationException: If code or reason can't be sent.
            ConnectionTerminatedException: If something else comes first, or nothing within
                ``close_timeout``.
        """
        if self._request.server_terminated:
            # Whose thread returns now closes the connection: not before the frame has gone.
            with self._sending:
                return
        if code is None and reason:
            raise BadOperationException("close reason must not be specified if code is None")
        self._send_close(code, reason)
        if wait_response and code not in (
            common.STATUS_GOING_AWAY,
            common.STATUS_PROTOCOL_ERROR,
        ):
            self._wait_for_close()

    def _wait_for_close(self) -> None:
        timeout = self._options.close_timeout
        if timeout is not None:
            self._request.connection.read_until(time.monotonic() + timeout)
        # Another thread may be about to receive it.
        if not self._receiving.acquire(timeout=-1 if timeout is None else timeout):
            self._request.connection.interrupt()
            raise ConnectionTerminatedException(f"No answer to Close within {timeout} s")
        try:
            if not self._request.client_terminated and self.receive_message() is not None:
                raise ConnectionTerminatedException(
                    "Didn't receive valid ack for closing handshake"
                )
        finally:
            self._receiving.release()

    def go_away(self) -> None:
        """Tells the peer that the server stops, if that can be done without waiting."""
        if self._sending.acquire(blocking=False):
            try:
                if not self._request.server_terminated:
                    frame = self._close_frame(common.STATUS_GOING_AWAY, "")
                    self._request.server_terminated = True
                    self._request.connection.write_at_once(frame)
            finally:
                self._sending.release()
