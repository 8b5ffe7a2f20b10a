"""Short messages: the way past all that isn't needed for them leads to the same."""

from __future__ import annotations

import logging
import os
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from duologue.frontends.pywebsocket.channel import Channel
from duologue.frontends.pywebsocket.config import Config
from duologue.frontends.pywebsocket.exceptions import (
    BadOperationException,
    ConnectionTerminatedException,
    InvalidUTF8Exception,
    MessageTooBigException,
)
from duologue.frontends.pywebsocket.request import Connection, Request
from duologue.frontends.pywebsocket.stream import Stream, StreamOptions

from .support import CLOSE, ECHO, PATIENCE, Serve, frame, read_all, read_exactly, read_head, request

SIZES = [0, 1, 125, 126, 4096, 4097, 16_384, 65_535]


class Ends:
    """A stream, the channel below it and the peer's socket."""

    def __init__(self, max_size: int | None = None, write_timeout: float | None = None) -> None:
        ours, self.peer = socket.socketpair()
        self.peer.settimeout(PATIENCE)
        self.channel = Channel(ours, write_timeout=write_timeout, max_head=None)
        self.channel.read_until(None)
        self.request = Request(
            Connection(self.channel, ("", 0), ("", 0)),
            method="GET",
            uri="/",
            protocol="HTTP/1.1",
            headers_in={},
        )
        self.options = StreamOptions()
        self.options.max_size = max_size
        self.stream = self.request.ws_stream = Stream(self.request, self.options)

    def close(self) -> None:
        self.peer.close()
        self.channel.close(linger=0)


@pytest.fixture
def ends() -> Iterator[Ends]:
    ends = Ends()
    yield ends
    ends.close()


def sent(message: bytes, first: int) -> bytes:
    """Return the frame of a server's message."""
    if len(message) < 126:
        return bytes([first, len(message)]) + message
    return bytes([first]) + struct.pack("!BH", 126, len(message)) + message


class TestReceiving:
    @pytest.mark.parametrize("size", SIZES)
    def test_a_message_of_any_size(self, ends: Ends, size: int) -> None:
        text, octets = frame(1, b"x" * size), frame(2, os.urandom(size))
        writer = threading.Thread(target=ends.peer.sendall, args=(text + octets,))
        writer.start()
        assert ends.stream.receive_message() == "x" * size
        assert ends.stream.get_last_received_opcode() == 1
        assert ends.stream.receive_message() == octets[-size:] * bool(size)
        assert ends.stream.get_last_received_opcode() == 2
        writer.join(PATIENCE)

    def test_masked_payloads(self, ends: Ends) -> None:
        key, text = b"\x01\x80\xff\x55", "grün".encode()
        masked = bytes(octet ^ key[index % 4] for index, octet in enumerate(text))
        ends.peer.sendall(bytes([0x81, 0x80 | len(text)]) + key + masked)
        assert ends.stream.receive_message() == "grün"

    def test_octet_by_octet(self, ends: Ends) -> None:
        def write() -> None:
            for octet in frame(1, b"abc") + frame(2, b"de"):
                ends.peer.sendall(bytes([octet]))

        writer = threading.Thread(target=write)
        writer.start()
        assert ends.stream.receive_message() == "abc"
        assert ends.stream.receive_message() == b"de"
        writer.join(PATIENCE)

    def test_control_frames_on_the_way(self, ends: Ends) -> None:
        ends.peer.sendall(frame(1, b"a") + frame(9, b"p") + frame(1, b"b") + CLOSE)
        assert [ends.stream.receive_message() for _ in range(3)] == ["a", "b", None]
        assert read_exactly(ends.peer, 7) == b"\x8a\x01p\x88\x02\x03\xe8"
        with pytest.raises(BadOperationException):
            ends.stream.receive_message()

    def test_fragments_before_and_after(self, ends: Ends) -> None:
        ends.peer.sendall(frame(1, b"a", fin=False) + frame(0, b"b") + frame(2, b"c"))
        assert ends.stream.receive_message() == "ab"
        assert ends.stream.receive_message() == b"c"

    def test_a_whole_message_among_fragments_is_wrong(self, ends: Ends) -> None:
        ends.peer.sendall(frame(1, b"a", fin=False) + frame(1, b"b"))
        with pytest.raises(ConnectionTerminatedException, match="before the last one ended"):
            ends.stream.receive_message()

    def test_a_text_that_is_none_can_be_followed_by_one(self, ends: Ends) -> None:
        ends.peer.sendall(frame(1, b"\xff") + frame(1, b"a"))
        with pytest.raises(InvalidUTF8Exception):
            ends.stream.receive_message()
        assert ends.stream.get_last_received_opcode() == 1
        assert ends.stream.receive_message() == "a"

    def test_the_limit(self) -> None:
        ends = Ends(max_size=10)
        try:
            ends.peer.sendall(frame(1, b"x" * 10) + frame(1, b"x" * 11))
            assert ends.stream.receive_message() == "x" * 10
            for _ in range(2):
                with pytest.raises(MessageTooBigException):
                    ends.stream.receive_message()
        finally:
            ends.close()

    def test_a_length_that_takes_too_much_is_told(
        self, ends: Ends, caplog: pytest.LogCaptureFixture
    ) -> None:
        ends.peer.sendall(b"\x81\xfe\x00\x01\0\0\0\0x" + b"\x81\xff" + bytes(7) + b"\x01\0\0\0\0y")
        with caplog.at_level(logging.WARNING):
            assert [ends.stream.receive_message() for _ in range(2)] == ["x", "y"]
        assert caplog.text.count("takes more bytes than needed") == 2

    def test_filters_are_asked(self, ends: Ends) -> None:
        class Upper:
            def filter(self, message: bytes) -> bytes:
                return message.upper()

        class Text:
            def filter(self, frame: Any) -> None:
                frame.opcode = 1

        ends.options.incoming_message_filters.append(Upper())
        ends.peer.sendall(frame(2, b"a") * 2)
        assert ends.stream.receive_message() == b"A"
        ends.options.incoming_frame_filters.append(Text())
        assert ends.stream.receive_message() == "A"

    def test_frames_that_must_not_be_masked(self, ends: Ends) -> None:
        ends.options.unmask_receive = False
        ends.peer.sendall(b"\x81\x01a" + frame(1, b"b"))
        assert ends.stream.receive_message() == "a"
        with pytest.raises(ConnectionTerminatedException, match="is masked"):
            ends.stream.receive_message()

    def test_the_end_of_the_connection(self, ends: Ends) -> None:
        ends.peer.sendall(frame(1, b"a"))
        ends.peer.close()
        assert ends.stream.receive_message() == "a"
        with pytest.raises(ConnectionTerminatedException):
            ends.stream.receive_message()

    def test_octets_can_be_read_past_it(self, ends: Ends) -> None:
        ends.peer.sendall(frame(1, b"a") + b"raw" + frame(1, b"b"))
        assert ends.stream.receive_message() == "a"
        assert ends.request.connection.read(2) == b"ra"
        assert ends.stream.receive_bytes(1) == b"w"
        assert ends.stream.receive_message() == "b"

    def test_an_interrupt_ends_the_wait(self, ends: Ends) -> None:
        threading.Timer(0.05, ends.channel.interrupt).start()
        with pytest.raises(ConnectionTerminatedException):
            ends.stream.receive_message()

    def test_another_thread_closes_meanwhile(self, ends: Ends) -> None:
        ends.options.close_timeout = PATIENCE
        came: list[Any] = []
        reader = threading.Thread(target=lambda: came.append(ends.stream.receive_message()))
        reader.start()
        ends.stream.send_message("a")
        closer = threading.Thread(target=ends.stream.close_connection)
        closer.start()
        assert read_exactly(ends.peer, 7) == b"\x81\x01a\x88\x02\x03\xe8"
        ends.peer.sendall(CLOSE)
        for thread in (reader, closer):
            thread.join(PATIENCE)
            assert not thread.is_alive()
        assert came == [None]

    def test_a_closed_connection_reads_nobody_elses_octets(self, ends: Ends) -> None:
        ends.peer.close()
        ends.channel.close(linger=0)
        # The system gives out the descriptor anew at once.
        other, its_peer = socket.socketpair()
        with other, its_peer:
            its_peer.sendall(frame(1, b"secret"))
            with pytest.raises(ConnectionTerminatedException):
                ends.stream.receive_message()
            with pytest.raises(OSError, match="Bad file descriptor"):
                ends.stream.send_message("x")
            its_peer.setblocking(False)
            with pytest.raises(BlockingIOError):
                its_peer.recv(1)


class TestSending:
    @pytest.mark.parametrize("size", SIZES)
    def test_a_message_of_any_size(self, ends: Ends, size: int) -> None:
        octets = os.urandom(size)

        def write() -> None:
            ends.stream.send_message("x" * size)
            ends.stream.send_message(octets, binary=True)

        writer = threading.Thread(target=write)
        writer.start()
        expected = sent(b"x" * size, 0x81) + sent(octets, 0x82)
        assert read_exactly(ends.peer, len(expected)) == expected
        writer.join(PATIENCE)

    def test_other_texts_and_octets(self, ends: Ends) -> None:
        class Text(str):
            pass

        ends.stream.send_message("ü" * 2049)
        ends.stream.send_message(Text("t"))
        ends.stream.send_message(bytearray(b"b"), binary=True)  # type: ignore[arg-type]
        expected = sent("ü".encode() * 2049, 0x81) + b"\x81\x01t\x82\x01b"
        assert read_exactly(ends.peer, len(expected)) == expected

    def test_what_cannot_be_sent(self, ends: Ends) -> None:
        for message, binary in (("x", True), (b"x", False), ("\ud800", False)):
            with pytest.raises(BadOperationException):
                ends.stream.send_message(message, binary=binary)
        ends.stream.send_message("a")
        assert read_exactly(ends.peer, 3) == b"\x81\x01a"

    def test_fragments_are_not_taken_for_whole_messages(self, ends: Ends) -> None:
        for part, end in (("a", False), ("b", False), ("c", True), ("d", True)):
            ends.stream.send_message(part, end=end)
        assert read_exactly(ends.peer, 12) == b"\x01\x01a\x00\x01b\x80\x01c\x81\x01d"

    def test_nothing_after_close(self, ends: Ends) -> None:
        ends.stream.close_connection(wait_response=False)
        with pytest.raises(BadOperationException, match="after sending out a closing handshake"):
            ends.stream.send_message("a")

    def test_filters_are_asked(self, ends: Ends) -> None:
        class Upper:
            def filter(self, message: Any, end: bool, binary: bool) -> Any:
                return message.upper()

        class Reserved:
            def filter(self, frame: Any) -> None:
                frame.rsv1 = 1

        ends.options.outgoing_message_filters.append(Upper())
        ends.stream.send_message("a")
        ends.options.outgoing_frame_filters.append(Reserved())
        ends.stream.send_message("b")
        assert read_exactly(ends.peer, 6) == b"\x81\x01A\xc1\x01B"

    def test_a_peer_that_takes_nothing(self) -> None:
        ends = Ends(write_timeout=0.2)
        try:
            with pytest.raises(TimeoutError, match=r"took nothing for 0\.2 s \(write_timeout\)"):
                while True:
                    ends.stream.send_message("x" * 4096)
        finally:
            ends.close()

    def test_a_peer_that_is_gone(self, ends: Ends) -> None:
        ends.peer.close()
        with pytest.raises(BrokenPipeError):
            ends.stream.send_message("a")

    def test_many_threads_send_whole_messages(self, ends: Ends) -> None:
        """Short ones, long ones and raw octets are never mixed up."""
        kinds = [b"\x81\x03abc", sent(b"y" * 5000, 0x82), b"\x8a\x03raw"]

        def write() -> None:
            for _ in range(50):
                ends.stream.send_message("abc")
                ends.stream.send_message(b"y" * 5000, binary=True)
                ends.request.connection.write(kinds[2])

        threads = [threading.Thread(target=write) for _ in range(4)]
        for thread in threads:
            thread.start()
        counts = dict.fromkeys(kinds, 0)
        for _ in range(600):
            start = read_exactly(ends.peer, 2)
            kind = next(kind for kind in kinds if kind.startswith(start))
            assert start + read_exactly(ends.peer, len(kind) - 2) == kind
            counts[kind] += 1
        assert set(counts.values()) == {200}
        for thread in threads:
            thread.join(PATIENCE)


class TestThreads:
    def test_who_waits_keeps_nobody_from_running(self, serve: Serve) -> None:
        with serve(h=ECHO) as running, running.open(request()) as idle:
            read_head(idle)
            with running.open(request()) as sock:
                read_head(sock)
                sock.sendall(frame(1, b"a"))
                assert read_exactly(sock, 3) == b"\x81\x01a"

    @pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such choice")
    def test_a_thread_that_is_woken_waits_for_its_turn(self, serve: Serve) -> None:
        handler = """
            import os

            def web_socket_do_extra_handshake(request):
                pass

            def web_socket_transfer_data(request):
                policy = os.sched_getscheduler(0)
                request.ws_stream.send_message(str(policy == os.SCHED_BATCH))
        """
        with serve(h=handler) as running:
            assert running.talk(CLOSE).startswith(b"\x81\x04True")
        assert os.sched_getscheduler(0) == os.SCHED_OTHER

    def test_frames_are_logged_when_that_is_wanted(
        self, serve: Serve, caplog: pytest.LogCaptureFixture
    ) -> None:
        with serve(Config(), h=ECHO) as running, caplog.at_level(9), running.open() as sock:
            sock.sendall(request() + frame(1, b"a") + CLOSE)
            assert read_all(sock).endswith(b"\x81\x01a\x88\x02\x03\xe8")
        assert "Received frame: FIN=1, RSV1=0, RSV2=0, RSV3=0, opcode=1" in caplog.text


def test_closing_waits_for_the_thread_that_answers_the_close(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, go_on = threading.Event(), threading.Event()
    write = ends.channel.write

    def slowly(octets: bytes) -> int:
        entered.set()
        assert go_on.wait(PATIENCE)
        return write(octets)

    monkeypatch.setattr(ends.request.connection, "write", slowly)
    ends.peer.sendall(CLOSE)
    answering = threading.Thread(target=ends.stream.receive_message)
    answering.start()
    assert entered.wait(PATIENCE)
    leaving = threading.Thread(target=ends.stream.close_connection)
    leaving.start()
    # Who returns from it closes the connection.
    leaving.join(0.1)
    assert leaving.is_alive()
    go_on.set()
    for each in (answering, leaving):
        each.join(PATIENCE)
    ends.channel.close(linger=0)
    assert read_all(ends.peer) == b"\x88\x02\x03\xe8"
