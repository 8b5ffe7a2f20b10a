from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from websockets.sync.server import ServerConnection, serve

COMMAND = [sys.executable, "-m", "duologue"]

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX only")


@contextlib.contextmanager
def serving(handler: Callable[[ServerConnection], None], **options) -> Iterator[str]:
    """Runs a server of another library in a thread; gives its URL."""
    with serve(handler, "127.0.0.1", 0, **options) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/"
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def answering(octets: bytes, *, hold: bool = False) -> Iterator[int]:
    """Answers one connection's first octets with some, whatever they say; gives its port."""
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def work() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.recv(65536)
                sock.sendall(octets)
                if hold:
                    done.wait(30)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            done.set()
            thread.join()


def echo(websocket: ServerConnection) -> None:
    for message in websocket:
        websocket.send(message)


class TestPiped:
    def test_waits_for_the_answer(self, run):
        with serving(echo) as url:
            result = run("connect", url, input=b"hi\n")
        assert (result.returncode, result.stdout) == (0, b"hi\n")
        assert result.stderr == b"duologue: closed: 1000 (OK)\n"

    def test_each_line_is_a_message(self, run):
        heard = []

        def handler(websocket):
            heard.extend(websocket)

        with serving(handler) as url:
            result = run("connect", url, input="one\r\n\nzwölf\n last".encode())
        assert result.returncode == 0
        assert heard == ["one", "", "zwölf", " last"]

    def test_answers_that_come_late(self, run):
        def handler(websocket):
            for message in websocket:
                for number in range(3):
                    time.sleep(0.6)  # what is tested is a time; it is below SILENCE
                    websocket.send(f"{message} {number}")

        with serving(handler) as url:
            result = run("connect", url, input=b"answer\n")
        assert result.stdout == b"answer 0\nanswer 1\nanswer 2\n"
        assert result.returncode == 0

    @pytest.mark.slow
    def test_a_server_that_never_falls_silent(self, run):
        def handler(websocket):
            with contextlib.suppress(Exception):
                while True:
                    websocket.send("tick")
                    time.sleep(0.05)

        with serving(handler) as url:
            before = time.monotonic()
            result = run("connect", url)
            assert 9 < time.monotonic() - before < 15  # PATIENCE
        assert result.returncode == 0

    def test_much_input(self, run):
        lines = b"".join(b"%d %s\n" % (number, b"x" * 1000) for number in range(3000))
        with serving(echo) as url:
            result = run("connect", url, input=lines)
        assert result.stdout == lines
        assert result.returncode == 0

    def test_binary_is_shown_as_digits_behind_a_mark(self, run):
        def handler(websocket):
            websocket.send(b"\x00\xffA")
            websocket.send("0ff")

        with serving(handler) as url:
            result = run("connect", url)
        assert result.stdout == b"(binary) 00ff41\n0ff\n"

    def test_text_comes_out_as_it_is(self, run):
        with serving(lambda websocket: websocket.send("\x1b[31mred\nline")) as url:
            result = run("connect", url)
        assert result.stdout == b"\x1b[31mred\nline\n"

    def test_a_line_that_is_no_text_is_named_and_the_others_are_sent(self, run):
        with serving(echo) as url:
            result = run("connect", url, input=b"good\n\xff\nbetter\n")
        assert result.stdout == b"good\nbetter\n"
        assert b"duologue: line 2 is not UTF-8 and was not sent" in result.stderr

    def test_messages_may_have_16_mib(self, run):
        with serving(lambda websocket: websocket.send("x" * (1 << 24))) as url:
            result = run("connect", url)
        assert len(result.stdout) == (1 << 24) + 1

    @posix
    def test_a_reader_that_goes_away_ends_it(self):
        gone = threading.Event()

        def handler(websocket):
            with contextlib.suppress(Exception):
                while True:
                    websocket.send("more")
            gone.set()

        with (
            serving(handler) as url,
            subprocess.Popen(
                [*COMMAND, url],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            ) as process,
        ):
            assert process.stdout.readline() == b"more\n"
            process.stdout.close()
            assert process.wait(20) == 0
            assert b"Traceback" not in process.stderr.read()
            assert gone.wait(20)


class TestEnding:
    @pytest.mark.parametrize(
        ("code", "reason", "line", "exit_code"),
        [
            (1000, "bye", "1000 (OK) bye", 0),
            (1001, "", "1001 (going away)", 0),
            (1011, "oops", "1011 (internal error) oops", 3),
            (4000, "own\x1b", "4000 (private use) own\\x1b", 3),
        ],
    )
    def test_code_and_reason_are_told(self, run, code, reason, line, exit_code):
        with serving(lambda websocket: websocket.close(code, reason)) as url:
            result = run("connect", url)
        assert result.stderr.decode() == f"duologue: closed: {line}\n"
        assert result.returncode == exit_code

    def test_what_came_before_the_end_is_printed(self, run):
        def handler(websocket):
            for number in range(100):
                websocket.send(str(number))
            websocket.close(4001)

        with serving(handler) as url:
            result = run("connect", url, input=b"x\n" * 1000)
        assert result.stdout.split() == [b"%d" % number for number in range(100)]
        assert result.returncode == 3

    def test_without_a_goodbye(self, run):
        def handler(websocket):
            websocket.socket.shutdown(socket.SHUT_RDWR)

        with serving(handler) as url:
            result = run("connect", url)
        assert result.stderr.startswith(b"duologue: closed: 1006 (abnormal closure")
        assert result.returncode == 3

    @posix
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_signals_end_it_with_1001(self, number):
        codes = []

        def handler(websocket):
            websocket.send("ready")
            with contextlib.suppress(Exception):
                websocket.recv()
            codes.append(websocket.close_code)

        with (
            serving(handler) as url,
            subprocess.Popen(
                [*COMMAND, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            ) as process,
        ):
            assert process.stdout.readline() == b"ready\n"
            process.send_signal(number)
            assert process.wait(10) == 0
        assert codes == [1001]


class TestCannotConnect:
    @staticmethod
    def check(result, complaint: str) -> None:
        assert result.returncode == 1
        assert result.stdout == b""
        (line,) = result.stderr.decode().splitlines()
        assert line.startswith("duologue: cannot connect to ws")
        assert complaint in line

    def test_host_name(self, run):
        self.check(run("ws://host.invalid/"), "the host name can't be resolved")

    def test_refused(self, run):
        with contextlib.closing(socket.socket()) as sock:
            sock.bind(("127.0.0.1", 0))  # and not listening
            port = sock.getsockname()[1]
            self.check(run(f"ws://127.0.0.1:{port}/"), "Connection refused")

    def test_http_status_with_its_body(self, run):
        body = b"Go\x1b away, " + b"please " * 200
        head = b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n" % len(body)
        with answering(head + body) as port:
            result = run(f"ws://127.0.0.1:{port}/")
        self.check(result, "the server refused with HTTP 403 Forbidden: Go\\x1b away, please")
        assert len(result.stderr) < 700

    def test_a_page_instead_of_a_websocket(self, run):
        with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello") as port:
            self.check(run(f"ws://127.0.0.1:{port}/"), "refused with HTTP 200 OK: hello")

    def test_wrong_accept(self, run):
        octets = (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n"
        )
        with answering(octets) as port:
            self.check(run(f"ws://127.0.0.1:{port}/"), "Sec-WebSocket-Accept")

    def test_something_else_than_http(self, run):
        with answering(b"220 smtp.example ESMTP\r\n") as port:
            self.check(run(f"ws://127.0.0.1:{port}/"), "the server did not answer in HTTP")

    @pytest.mark.slow
    def test_time_out(self, run):
        with answering(b"", hold=True) as port:
            self.check(run(f"ws://127.0.0.1:{port}/"), "timed out")

    def test_certificate_of_a_stranger(self, run, start, certificate):
        server = start("serve", "echo", "--port", "0", "--ssl-certfile", certificate.both)
        self.check(run(server.url), "the server's certificate can't be trusted: ")
        result = run(server.url, input=b"hi\n", env=certificate.trusted)
        assert (result.returncode, result.stdout) == (0, b"hi\n")

    def test_tls_with_a_server_that_has_none(self, run):
        with answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
            self.check(run(f"wss://127.0.0.1:{port}/"), "the TLS handshake failed: wrong version")

    @pytest.mark.parametrize("scheme", ["ws", "wss"])
    def test_a_server_that_hangs_up(self, run, scheme):
        with answering(b"") as port:
            self.check(run(f"{scheme}://127.0.0.1:{port}/"), "the server closed the connection")

    @posix
    def test_interrupted(self):
        with answering(b"", hold=True) as port:
            with subprocess.Popen(
                [*COMMAND, f"ws://127.0.0.1:{port}/"], stderr=subprocess.PIPE
            ) as process:
                time.sleep(0.7)  # nothing tells when the process has installed its handlers
                process.send_signal(signal.SIGINT)
                assert process.wait(10) == 1
                assert process.stderr.read().endswith(b": interrupted\n")

    @pytest.mark.parametrize("url", ["http://127.0.0.1/", "ws://", "nonsense", "ws://h/#fragment"])
    def test_not_a_url_is_wrong_usage(self, run, url):
        result = run("connect", url)
        assert result.returncode == 2
        assert b"usage: duologue connect" in result.stderr


@posix
class TestTerminal:
    @pytest.fixture
    def terminal(self):
        """Runs ``duologue connect`` on a terminal of its own."""
        import pty

        with contextlib.ExitStack() as stack:

            def terminal(url: str):
                ours, theirs = pty.openpty()
                stack.callback(os.close, ours)
                process = subprocess.Popen(
                    [*COMMAND, url], stdin=theirs, stdout=theirs, stderr=theirs
                )
                os.close(theirs)
                stack.enter_context(process)
                stack.callback(process.kill)
                return process, ours

            yield terminal

    @staticmethod
    def read_until(fd: int, words: bytes) -> bytes:
        seen = b""
        while words not in seen:
            assert select.select([fd], [], [], 10)[0], seen
            seen += os.read(fd, 4096)
        return seen

    def test_what_arrives_is_marked_and_harmless(self, terminal):
        with serving(echo) as url:
            process, fd = terminal(url)
            os.write(fd, b"a\\x1b? \xc2\x9b31m\n")
            self.read_until(fd, b"< a\\x1b? \\x9b31m\r\n")
            os.write(fd, b"\x04")
            assert process.wait(10) == 0

    def test_it_says_that_it_is_connected(self, terminal):
        with serving(echo) as url:
            process, fd = terminal(url)
            self.read_until(fd, f"duologue: connected to {url}; each line is sent".encode())
            os.write(fd, b"\x04")
            assert process.wait(10) == 0

    def test_ctrl_d_ends_it_at_once(self, terminal):
        closed = []

        def handler(websocket):
            websocket.send("ready")
            with contextlib.suppress(Exception):
                websocket.recv()
            closed.append(websocket.close_code)

        with serving(handler) as url:
            process, fd = terminal(url)
            self.read_until(fd, b"< ready")
            before = time.monotonic()
            os.write(fd, b"\x04")
            self.read_until(fd, b"duologue: closed: 1000 (OK)")
            assert time.monotonic() - before < 0.9  # less than SILENCE
            assert process.wait(10) == 0
        assert closed == [1000]

    def test_the_server_can_end_it_while_a_line_is_awaited(self, terminal):
        with serving(lambda websocket: websocket.close(4321, "enough")) as url:
            process, fd = terminal(url)
            self.read_until(fd, b"duologue: closed: 4321 (private use) enough")
            assert process.wait(10) == 3
