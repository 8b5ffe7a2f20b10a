"""Connections of handlers: limits, hostile peers, threads, the end."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import struct
import threading
import zlib
from pathlib import Path
from typing import Any

import pytest
import trustme

from duologue.frontends.pywebsocket import handshake
from duologue.frontends.pywebsocket.config import Config
from duologue.frontends.pywebsocket.visit import Visit

from .support import (
    CLOSE,
    ECHO,
    PATIENCE,
    Serve,
    frame,
    read_all,
    read_exactly,
    read_head,
    request,
)

NOTHING = """
    def web_socket_do_extra_handshake(request):
        pass

    def web_socket_transfer_data(request):
        pass
"""


def closed(code: int, reason: bytes = b"") -> bytes:
    return bytes([0x88, 2 + len(reason)]) + struct.pack("!H", code) + reason


class TestMessages:
    @pytest.mark.parametrize("size", [1, 100])
    def test_max_size_holds_for_a_frame(self, serve: Serve, size: int) -> None:
        with serve(Config(max_size=100), h=ECHO) as running:
            assert running.talk(frame(2, bytes(size)), CLOSE) == (
                bytes([0x82, size]) + bytes(size) + closed(1000)
            )
            assert running.talk(frame(2, bytes(101)), CLOSE) == closed(1009)

    def test_a_huge_length_is_refused_before_it_comes(self, serve: Serve) -> None:
        with serve(h=ECHO) as running:
            assert running.talk(b"\x82\xff" + struct.pack("!Q", 1 << 62) + bytes(4)) == closed(1009)
            assert running.talk(b"\x82\xff" + struct.pack("!Q", 1 << 63) + bytes(4)) == closed(1002)

    def test_max_size_holds_for_all_fragments(self, serve: Serve) -> None:
        with serve(Config(max_size=300), h=ECHO) as running:
            many = [frame(0, b"x", fin=False)] * 10
            assert running.talk(frame(2, b"x", fin=False), *many) == closed(1009)
            fits = [frame(0, b"x", fin=False)] * 2
            came = running.talk(frame(2, b"x", fin=False), *fits, frame(0, b"y"), CLOSE)
            assert came == b"\x82\x04xxxy" + closed(1000)

    def test_max_size_holds_for_what_is_inflated(self, serve: Serve) -> None:
        deflater = zlib.compressobj(wbits=-15)
        bomb = deflater.compress(bytes(10_000_000)) + deflater.flush(zlib.Z_SYNC_FLUSH)
        head = request("/h", "Sec-WebSocket-Extensions: permessage-deflate")
        message = b"\xc2\xfe" + struct.pack("!H", len(bomb) - 4) + bytes(4) + bomb[:-4]
        with serve(Config(max_size=100_000), h=ECHO) as running:
            assert running.converse(head, message).endswith(b"\r\n\r\n" + closed(1009))

    def test_what_cant_be_inflated(self, serve: Serve) -> None:
        head = request("/h", "Sec-WebSocket-Extensions: permessage-deflate")
        with serve(h=ECHO) as running:
            came = running.converse(head, frame(1, b"\xff\xff\xff", rsv=4))
            assert came.endswith(b"\r\n\r\n" + closed(1002))

    def test_no_compression(self, serve: Serve) -> None:
        head = request("/h", "Sec-WebSocket-Extensions: permessage-deflate")
        with serve(Config(compression=False), h=ECHO) as running:
            assert b"deflate" not in running.converse(head, CLOSE)

    @pytest.mark.parametrize(("level", "logged"), [(9, 2), (10, 0)])
    def test_the_level_fine_tells_of_frames(
        self, serve: Serve, caplog: pytest.LogCaptureFixture, level: int, logged: int
    ) -> None:
        caplog.set_level(level)
        with serve(h=ECHO) as running:
            running.talk(frame(1, b"abc"), CLOSE)
        assert len([one for one in caplog.messages if "opcode=" in one]) == logged

    def test_what_handlers_may_catch_and_go_on(self, serve: Serve) -> None:
        handler = """
            from mod_pywebsocket import msgutil

            def web_socket_do_extra_handshake(request):
                pass

            def web_socket_transfer_data(request):
                try:
                    request.ws_stream.receive_message()
                except msgutil.UnsupportedFrameException as error:
                    request.ws_stream.send_message(type(error).__name__)
                request.ws_stream.send_message(request.ws_stream.receive_message())
        """
        with serve(h=handler) as running:
            came = running.talk(frame(1, b"x", rsv=2), frame(1, b"next"), CLOSE)
            assert came == b"\x81\x19UnsupportedFrameException\x81\x04next" + closed(1000)


class TestTimes:
    def test_a_head_must_come_in_time(self, serve: Serve) -> None:
        with serve(Config(open_timeout=0.2), h=ECHO) as running, running.open(b"GET /h") as sock:
            assert read_all(sock) == b""

    def test_the_answer_to_close_must_come_in_time(self, serve: Serve) -> None:
        with serve(Config(close_timeout=0.2), h=NOTHING) as running:
            assert running.talk() == closed(1000)

    def test_also_if_another_thread_waits_for_it(self, serve: Serve) -> None:
        handler = """
            from pywebsocket3 import msgutil

            def web_socket_do_extra_handshake(request):
                pass

            def web_socket_transfer_data(request):
                receiver = msgutil.MessageReceiver(request)
                request.ws_stream.send_message(receiver.receive())
        """
        with serve(Config(close_timeout=0.2), h=handler) as running:
            with running.open(request() + frame(1, b"x")) as sock:
                read_head(sock)
                assert read_all(sock) == b"\x81\x01x" + closed(1000)

    def test_who_takes_nothing_is_given_up(
        self, serve: Serve, caplog: pytest.LogCaptureFixture
    ) -> None:
        handler = """
            def web_socket_do_extra_handshake(request):
                pass

            def web_socket_transfer_data(request):
                while True:
                    request.ws_stream.send_message(bytes(1_000_000), binary=True)
        """
        config = Config(write_timeout=0.2, max_threads=1)
        with serve(config, h=handler) as running, running.open(request()):
            # The only thread is free again afterwards.
            assert running.converse(b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.0 404 ")
        assert "write_timeout" in caplog.text

    def test_an_open_connection_may_be_silent(self, serve: Serve) -> None:
        with serve(Config(open_timeout=0.1), h=ECHO) as running, running.open(request()) as sock:
            read_head(sock)
            threading.Event().wait(0.3)
            sock.sendall(frame(1, b"x") + CLOSE)
            assert read_all(sock) == b"\x81\x01x" + closed(1000)


class TestThreads:
    def test_there_are_only_so_many(self, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
        with serve(Config(max_threads=2), h=ECHO) as running, contextlib.ExitStack() as stack:
            first, second = (stack.enter_context(running.open(request())) for _ in range(2))
            for sock in (first, second):
                read_head(sock)
            third = stack.enter_context(running.open(request()))
            third.settimeout(0.3)
            with pytest.raises(TimeoutError):
                third.recv(1)
            assert "2 connections are served (max_threads)" in caplog.text
            first.close()
            third.settimeout(PATIENCE)
            read_head(third)

    def test_each_may_block(self, serve: Serve) -> None:
        handler = """
            import threading

            barrier = threading.Barrier(3)

            def web_socket_do_extra_handshake(request):
                barrier.wait(30)

            def web_socket_transfer_data(request):
                request.ws_stream.send_message(str(barrier.wait(30) >= 0))
        """
        with serve(h=handler) as running, contextlib.ExitStack() as stack:
            socks = [stack.enter_context(running.open(request())) for _ in range(3)]
            for sock in socks:
                read_head(sock)
                assert read_exactly(sock, 6) == b"\x81\x04True"

    def test_idle_peers_get_1001_when_the_server_stops(self, serve: Serve) -> None:
        with serve(h=ECHO) as running:
            sock = running.open(request())
            read_head(sock)
            running.server.shutdown()
            assert read_exactly(sock, 4) == closed(1001)
            sock.sendall(frame(8, b"\x03\xe9"))
            assert read_all(sock) == b""
            sock.close()

    def test_a_handshake_is_finished_when_the_server_stops(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        told, go_away, do_handshake = threading.Event(), Visit.go_away, handshake.do_handshake

        def tell(visit: Visit) -> None:
            go_away(visit)
            told.set()

        def do_slowly(*arguments: Any) -> None:
            do_handshake(*arguments)
            assert told.wait(PATIENCE)

        monkeypatch.setattr(Visit, "go_away", tell)
        monkeypatch.setattr(handshake, "do_handshake", do_slowly)
        with serve(h=ECHO) as running:
            sock = running.open(request())
            read_head(sock)
            running.server.shutdown()
            assert read_exactly(sock, 4) == closed(1001)
            sock.sendall(frame(8, b"\x03\xe9"))
            assert read_all(sock) == b""
            sock.close()

    def test_a_handler_that_never_ends_keeps_nobody(self, serve: Serve) -> None:
        handler = """
            import threading

            def web_socket_do_extra_handshake(request):
                pass

            def web_socket_transfer_data(request):
                threading.Event().wait(5)
        """
        with serve(h=handler) as running:
            sock = running.open(request())
            read_head(sock)
        sock.close()


class TestHeads:
    @pytest.mark.parametrize(
        ("octets", "status"),
        [
            (b"GET /" + b"x" * 40_000, b"414"),
            (b"GET / HTTP/1.1\r\nA: " + b"x" * 40_000, b"431"),
            (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 101 + b"\r\n", b"431"),
            (b"GET /\x00 HTTP/1.1\r\n\r\n", b"404"),
            (b"GET /%00 HTTP/1.1\r\n\r\n", b"404"),
            (b"\xff\xfe / HTTP/1.1\r\n\r\n", b"501"),
            (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"400"),
        ],
    )
    def test_hostile_ones(self, serve: Serve, octets: bytes, status: bytes) -> None:
        with serve(h=ECHO) as running:
            came = running.converse(octets)
            assert came.startswith(b"HTTP/1.0 " + status) or b"Error code: " + status in came

    def test_nothing_of_a_peer_is_a_line_of_the_log(
        self, serve: Serve, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        with serve(h=ECHO) as running:
            running.converse(b"GET /\x1b[31m\rforged HTTP/1.1\r\n\r\n")
        assert not any(char in caplog.text for char in "\x1b\r")

    def test_no_document_root_no_files(self, serve: Serve) -> None:
        with serve(h=ECHO) as running:
            assert running.converse(b"GET /h_wsh.py HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.0 404")

    @pytest.mark.parametrize(
        ("origins", "status"),
        [
            ((), b"101"),
            (("Origin: https://a.example",), b"101"),
            (("Origin: null",), b"101"),
            (("Origin: http://a.example",), b"403"),
            (("Origin:",), b"403"),
            (("Origin: null", "Origin: http://a.example"), b"403"),
        ],
    )
    def test_origins(self, serve: Serve, origins: tuple[str, ...], status: bytes) -> None:
        config = Config(origins=("https://a.example", "null"))
        with serve(config, h=ECHO) as running:
            came = running.converse(request("/h", *origins), CLOSE)
            assert came.split()[1] == status

    def test_any_page_may_connect_unless_told_otherwise(self, serve: Serve) -> None:
        with serve(h=ECHO) as running:
            came = running.converse(request("/h", "Origin: http://a.example"), CLOSE)
            assert came.startswith(b"HTTP/1.1 101 ")

    def test_basic_auth(self, serve: Serve) -> None:
        with serve(Config(credential="me:pw"), h=ECHO) as running:
            assert running.converse(request()).startswith(b"HTTP/1.0 401 Unauthorized\r\n")
            wrong = request("/h", "Authorization: Basic bWU6cHg=")
            came = running.converse(wrong)
            assert b'\r\nWWW-Authenticate: Basic realm="Pywebsocket"\r\n\r\n' in came
            right = request("/h", "Authorization: Basic bWU6cHc=")
            assert running.converse(right, CLOSE).startswith(b"HTTP/1.1 101 ")


class TestCgi:
    @pytest.fixture
    def config(self, tmp_path: Path) -> Config:
        tmp_path.chmod(0o755)
        program = tmp_path / "documents" / "cgi" / "env"
        program.parent.mkdir(parents=True)
        program.write_text("#!/bin/sh\necho\nenv\necho body:\ncat\n")
        program.chmod(0o755)
        (tmp_path / "documents" / "outside").write_bytes(program.read_bytes())
        (tmp_path / "documents" / "outside").chmod(0o755)
        for folder in list(tmp_path.parents)[:3]:
            with contextlib.suppress(PermissionError):
                folder.chmod(folder.stat().st_mode | 0o055)
        return Config(document_root=str(tmp_path / "documents"), cgi_paths=("/cgi",))

    def test_a_program(self, serve: Serve, config: Config) -> None:
        ask = b"POST /cgi/env?q=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"
        evil = b"Proxy: evil\r\nUser-Agent: $(id) () { :;}; `x`\r\n\r\nbody"
        with serve(config, h=ECHO) as running:
            came = running.converse(ask, evil)
        assert came.startswith(b"HTTP/1.0 200 Script output follows\r\n")
        lines = came.splitlines()
        assert {b"QUERY_STRING=q=1", b"REQUEST_METHOD=POST", b"SCRIPT_NAME=/cgi/env"} < set(lines)
        assert b"HTTP_USER_AGENT=$(id) () { :;}; `x`" in lines
        assert b"evil" not in came
        assert came.endswith(b"body:\nbody")

    def test_only_below_the_prefix(self, serve: Serve, config: Config) -> None:
        with serve(config, h=ECHO) as running:
            for path in (b"/outside", b"/cgi/../outside", b"/cgi/%2e%2e/outside"):
                assert b"GATEWAY" not in running.converse(b"GET " + path + b" HTTP/1.1\r\n\r\n")

    @pytest.mark.parametrize(("length", "status"), [("x", b"400"), ("9999999", b"413")])
    def test_bad_bodies(self, serve: Serve, config: Config, length: str, status: bytes) -> None:
        ask = f"POST /cgi/env HTTP/1.1\r\nContent-Length: {length}\r\n\r\n".encode()
        with serve(config, h=ECHO) as running:
            assert running.converse(ask).startswith(b"HTTP/1.0 " + status)


@pytest.fixture(scope="module")
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


class TestTls:
    def test_talks(self, serve: Serve, contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
        big = b"\x82\xff" + struct.pack("!Q", 300_000) + bytes(4) + bytes(300_000)
        with serve(Config(tls=contexts[0]), h=ECHO) as running:
            came = running.converse(request(), frame(1, b"x"), big, CLOSE, tls=contexts[1])
            assert came.endswith(closed(1000)) and len(came) > 300_000

    def test_threads_send_while_another_receives(
        self, serve: Serve, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
    ) -> None:
        handler = """
            import threading
            from pywebsocket3 import msgutil

            def web_socket_do_extra_handshake(request):
                pass

            def web_socket_transfer_data(request):
                got = []
                receiver = msgutil.MessageReceiver(request, got.append)
                for number in range(200):
                    request.ws_stream.send_message("x" * 1000)
                receiver.join(30)
                assert got[-1] is None and len(got) == 51
        """
        with serve(Config(tls=contexts[0]), h=handler) as running:
            with running.open(request(), contexts[1]) as sock:
                for _ in range(50):
                    sock.sendall(frame(1, b"y" * 500))
                read_head(sock)
                assert read_exactly(sock, 200 * 1004) == (b"\x81\x7e\x03\xe8" + b"x" * 1000) * 200
                sock.sendall(CLOSE)
                assert read_all(sock) == closed(1000)

    def test_no_tls_where_it_is_due(
        self, serve: Serve, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
    ) -> None:
        with serve(Config(tls=contexts[0]), h=ECHO) as running:
            assert not running.converse(request()).startswith(b"HTTP")


def test_listens_on_this_machine_only_by_default() -> None:
    assert Config().hosts == ("127.0.0.1", "::1")


def test_an_empty_host_is_every_address(serve: Serve) -> None:
    with serve(Config(hosts=("",)), h=ECHO) as running:
        families = {sock.family for sock in running.server._sockets}
        assert socket.AF_INET in families
        assert {sock.getsockname()[0] for sock in running.server._sockets} <= {"0.0.0.0", "::"}
        assert len({sock.getsockname()[1] for sock in running.server._sockets}) == 1
        assert running.talk(CLOSE) == closed(1000)
