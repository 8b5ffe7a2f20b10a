from __future__ import annotations

import contextlib
import errno
import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
import textwrap
import time

import pytest
from cryptography.hazmat.primitives import serialization
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect, unix_connect

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX only")


def close_code(websocket) -> int | None:
    with pytest.raises(ConnectionClosed):
        websocket.recv(timeout=10)
    return websocket.close_code


@pytest.fixture
def module(tmp_path):
    """Writes a module of the user's own; returns where."""

    def module(name: str, source: str):
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source), encoding="utf-8")
        return tmp_path

    return module


class TestEcho:
    def test_prints_its_url_first_and_echoes(self, start):
        server = start("serve", "echo", "--port", "0")
        assert server.url == f"ws://127.0.0.1:{server.port}/"
        with connect(server.url + "any/path") as websocket:
            for message in ["hi", b"\x00\x01"]:
                websocket.send(message)
                assert websocket.recv(timeout=10) == message

    def test_greeting(self, start):
        server = start("serve", "echo", "--port", "0", "--greeting", "Hello there")
        with connect(server.url) as websocket:
            assert websocket.recv(timeout=10) == "Hello there"

    def test_plain_http_gets_a_page(self, start):
        server = start("serve", "echo", "--port", "0")
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port)) as client:
            client.request("GET", "/")
            response = client.getresponse()
            assert response.status == 200
            assert response.headers["Content-Type"] == "text/html; charset=utf-8"
            assert b"Echo server" in response.read()


class TestChat:
    def test_talks_and_logs(self, start):
        server = start("serve", "chat", "--port", "0")
        assert server.line() == f"websocket server connection on port {server.port}"
        with connect(server.url) as websocket:
            assert websocket.recv(timeout=10) == "user1 come in!"
            websocket.send("bell \x07")
            assert websocket.recv(timeout=10) == "bell \x07"
        assert [server.line() for _ in range(3)] == [
            "New connection",
            "Received bell \\x07",
            "Connection closed",
        ]

    def test_its_own_default_port(self, run):
        with contextlib.closing(socket.socket()) as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                taken.bind(("127.0.0.1", 8001))
            except OSError:
                pytest.skip("port 8001 is in use")
            taken.listen()
            result = run("serve", "chat")
        assert result.returncode == 1
        assert b"cannot listen on 127.0.0.1:8001" in result.stderr


class TestHandler:
    def test_of_a_module_in_the_current_directory(self, start, module):
        directory = module(
            "shout",
            """
            class Handlers:
                @staticmethod
                async def upper(websocket):
                    async for message in websocket:
                        await websocket.send(message.upper())
            """,
        )
        server = start("serve", "shout:Handlers.upper", "--port", "0", cwd=directory)
        with connect(server.url) as websocket:
            websocket.send("hi")
            assert websocket.recv(timeout=10) == "HI"

    def test_an_object_with_an_async_call(self, start, module):
        directory = module(
            "greeter",
            """
            class Greeter:
                async def __call__(self, websocket):
                    await websocket.send("called")
            greet = Greeter()
            """,
        )
        server = start("serve", "greeter:greet", "--port", "0", cwd=directory)
        with connect(server.url) as websocket:
            assert websocket.recv(timeout=10) == "called"

    def test_one_that_raises_ends_its_connection_only(self, start, module):
        directory = module(
            "broken",
            """
            async def handler(websocket):
                if await websocket.recv() == "raise":
                    raise RuntimeError("as asked")
                await websocket.send("fine")
            """,
        )
        server = start("serve", "broken:handler", "--port", "0", cwd=directory)
        with connect(server.url) as websocket:
            websocket.send("raise")
            assert close_code(websocket) == 1011
        with connect(server.url) as websocket:
            websocket.send("go on")
            assert websocket.recv(timeout=10) == "fine"
        code, _, err = server.stop()
        assert code == 0
        assert err.count("RuntimeError: as asked") == 1

    @pytest.mark.parametrize(
        ("target", "complaint"),
        [
            ("absent:handler", "there is no module 'absent'"),
            ("mine.absent:handler", "there is no module 'mine.absent'"),
            ("mine:absent", "module 'mine' has no attribute 'absent'"),
            ("mine:number", "mine:number is of type int, not a handler"),
            ("mine:plain", "mine:plain is not a coroutine function"),
            ("mine:Class", "mine:Class is a class, not a handler"),
            ("mine:two", "mine:two(one, two) can't be a handler, missing a required argument"),
            ("needy:x", "importing 'needy' failed: ModuleNotFoundError: No module named 'absent'"),
            ("faulty:x", "importing 'faulty' failed: ZeroDivisionError: division by zero"),
            ("garbled:x", "importing 'garbled' failed: SyntaxError"),
        ],
    )
    def test_one_that_cannot_be_had(self, run, module, target, complaint):
        module(
            "mine",
            """
            number = 5
            def plain(websocket): ...
            class Class: ...
            async def two(one, two): ...
            """,
        )
        module("needy", "import absent")
        module("faulty", "x = 1 / 0")
        directory = module("garbled", "x = (")
        result = run("serve", target, "--port", "0", cwd=directory)
        assert result.returncode == 1
        assert result.stdout == b""
        (line,) = result.stderr.decode().splitlines()
        assert line.startswith(f"duologue: {complaint}")


class TestPlace:
    def test_host(self, start):
        server = start("serve", "echo", "--host", "localhost", "--port", "0")
        assert server.url.startswith("ws://localhost:")
        with connect(server.url):
            pass

    def test_all_addresses_are_reached_by_the_loopback_one(self, start):
        server = start("serve", "echo", "--host", "0.0.0.0", "--port", "0")
        assert server.url.startswith("ws://127.0.0.1:")
        with connect(server.url):
            pass

    def test_ipv6(self, start):
        try:
            with contextlib.closing(socket.create_server(("::1", 0), family=socket.AF_INET6)):
                pass
        except OSError:
            pytest.skip("no IPv6 here")
        server = start("serve", "echo", "--host", "::1", "--port", "0")
        assert server.url.startswith("ws://[::1]:")
        with connect(server.url):
            pass

    def test_port_in_use(self, run, start):
        port = start("serve", "echo", "--port", "0").port
        result = run("serve", "echo", "--port", str(port))
        assert result.returncode == 1
        assert result.stdout == b""
        why = os.strerror(errno.EADDRINUSE)
        assert result.stderr.decode() == f"duologue: cannot listen on 127.0.0.1:{port}: {why}\n"

    def test_host_that_is_none_of_ours(self, run):
        result = run("serve", "echo", "--host", "host.invalid", "--port", "0")
        assert result.returncode == 1
        assert b"duologue: cannot listen on host.invalid:0: " in result.stderr

    @posix
    def test_uds(self, start, tmp_path):
        path = str(tmp_path / "echo.sock")
        server = start("serve", "echo", "--uds", path)
        assert server.url == f"ws+unix:{path}"
        with unix_connect(path, "ws://localhost/") as websocket:
            websocket.send("hi")
            assert websocket.recv(timeout=10) == "hi"
        assert server.stop()[0] == 0
        assert not os.path.exists(path)

    @posix
    def test_uds_that_a_killed_server_has_left(self, start, tmp_path):
        path = str(tmp_path / "echo.sock")
        start("serve", "echo", "--uds", path).stop(signal.SIGKILL)
        assert os.path.exists(path)
        start("serve", "echo", "--uds", path)
        with unix_connect(path, "ws://localhost/"):
            pass

    @posix
    def test_uds_in_use(self, start, run, tmp_path):
        path = str(tmp_path / "echo.sock")
        start("serve", "echo", "--uds", path)
        result = run("serve", "echo", "--uds", path)
        assert result.returncode == 1
        assert b"another server listens there" in result.stderr
        with unix_connect(path, "ws://localhost/"):
            pass

    @posix
    def test_uds_never_replaces_a_file(self, run, tmp_path):
        path = tmp_path / "precious"
        path.write_text("data")
        result = run("serve", "echo", "--uds", str(path))
        assert result.returncode == 1
        assert b"it exists and is not a socket" in result.stderr
        assert path.read_text() == "data"

    @posix
    def test_fd(self, start):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            fd = listener.fileno()
            server = start("serve", "echo", "--fd", str(fd), pass_fds=[fd])
            assert server.port == listener.getsockname()[1]
            with connect(server.url) as websocket:
                websocket.send("hi")
                assert websocket.recv(timeout=10) == "hi"

    @posix
    def test_fd_that_is_no_socket(self, run, tmp_path):
        with open(tmp_path / "file", "w") as file:
            fd = file.fileno()
            result = run("serve", "echo", "--fd", str(fd), pass_fds=[fd])
        assert result.returncode == 1
        assert f"duologue: cannot listen on file descriptor {fd}: ".encode() in result.stderr

    @pytest.mark.parametrize(
        "arguments",
        [
            ["--uds", "x", "--port", "0"],
            ["--uds", "x", "--fd", "3"],
            ["--fd", "3", "--host", "localhost"],
            ["--ssl-keyfile", "x"],
            ["--max-size", "0"],
            ["--port", "x"],
            ["--log-level", "loud"],
        ],
    )
    def test_contradictions_are_wrong_usage(self, run, arguments):
        result = run("serve", "echo", *arguments)
        assert result.returncode == 2
        assert result.stdout == b""

    @pytest.mark.parametrize("target", ["chat", "os:path"])
    def test_greeting_is_for_the_echo(self, run, target):
        result = run("serve", target, "--greeting", "hi")
        assert result.returncode == 2
        assert b"--greeting is for the echo only" in result.stderr

    @pytest.mark.parametrize("target", ["noise", "module:", ":x", "a b:c", "a:b:c"])
    def test_target_of_no_form(self, run, target):
        result = run("serve", target)
        assert result.returncode == 2
        assert b"TARGET must be echo, chat or module:attribute" in result.stderr


class TestTLS:
    def test_certificate_and_key(self, start, certificate):
        server = start(
            *("serve", "echo", "--port", "0"),
            *("--ssl-certfile", certificate.chain, "--ssl-keyfile", certificate.key),
        )
        assert server.url == f"wss://127.0.0.1:{server.port}/"
        context = ssl.create_default_context(cafile=certificate.authority)
        with connect(server.url, ssl=context) as websocket:
            websocket.send("hi")
            assert websocket.recv(timeout=10) == "hi"

    def test_both_in_one_file(self, start, certificate):
        server = start("serve", "echo", "--port", "0", "--ssl-certfile", certificate.both)
        context = ssl.create_default_context(cafile=certificate.authority)
        with connect(server.url, ssl=context):
            pass

    def test_files_that_will_not_do(self, run, certificate, tmp_path):
        encrypted = tmp_path / "encrypted.pem"
        with open(certificate.key, "rb") as file:
            key = serialization.load_pem_private_key(file.read(), None)
        encrypted.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(b"secret"),
            )
        )
        missing = str(tmp_path / "missing.pem")
        for certfile, keyfile, complaint in [
            (missing, None, f"cannot read {missing}: "),
            (certificate.chain, missing, f"cannot read {missing}: "),
            (certificate.key, certificate.key, f"cannot use {certificate.key} with "),
            (
                certificate.chain,
                None,
                f"cannot use {certificate.chain} as certificate and private key: one of the two",
            ),
            (certificate.chain, str(encrypted), f"the private key in {encrypted} is encrypted"),
        ]:
            keys = [] if keyfile is None else ["--ssl-keyfile", keyfile]
            result = run("serve", "echo", "--port", "0", "--ssl-certfile", certfile, *keys)
            assert result.returncode == 1
            assert result.stdout == b""
            (line,) = result.stderr.decode().splitlines()
            assert line.startswith(f"duologue: {complaint}")


class TestLimitsAndOutput:
    @pytest.mark.parametrize(
        ("arguments", "size", "passes"),
        [
            ([], 1 << 20, True),
            ([], (1 << 20) + 1, False),
            (["--max-size", "10"], 10, True),
            (["--max-size", "10"], 11, False),
            (["--max-size", "none"], (1 << 20) + 1, True),
        ],
    )
    def test_max_size(self, start, arguments, size, passes):
        server = start("serve", "echo", "--port", "0", *arguments)
        with connect(server.url, max_size=None, compression=None) as websocket:
            websocket.send(bytes(size))
            if passes:
                assert len(websocket.recv(timeout=10)) == size
            else:
                assert close_code(websocket) == 1009

    @pytest.mark.parametrize(
        ("arguments", "negotiated"), [([], True), (["--no-compression"], False)]
    )
    def test_compression(self, start, arguments, negotiated):
        server = start("serve", "echo", "--port", "0", *arguments)
        with connect(server.url) as websocket:
            assert websocket.response is not None
            assert ("Sec-WebSocket-Extensions" in websocket.response.headers) is negotiated

    @staticmethod
    def visit(server) -> tuple[str, str]:
        with connect(server.url) as websocket:
            websocket.send("hi")
            websocket.recv(timeout=10)
        code, out, err = server.stop()
        assert code == 0
        return out, err

    def test_quiet(self, start):
        server = start("serve", "chat", "--port", "0", "--quiet")
        assert server.url == f"ws://127.0.0.1:{server.port}/"
        assert self.visit(server) == ("", "")

    def test_the_url_comes_before_all_logs(self, start):
        server = start("serve", "echo", "--port", "0", "--log-level", "debug", merged=True)
        assert server.url == f"ws://127.0.0.1:{server.port}/"
        assert "DEBUG" in self.visit(server)[0]

    def test_not_quiet(self, start):
        out, err = self.visit(start("serve", "chat", "--port", "0"))
        assert "Received hi" in out
        assert " INFO " in err

    def test_log_level(self, start):
        server = start("serve", "echo", "--port", "0", "--log-level", "warning")
        assert self.visit(server) == ("", "")
        server = start("serve", "echo", "--port", "0", "--log-level", "debug")
        assert " DEBUG " in self.visit(server)[1]

    def test_log_level_with_quiet(self, start):
        server = start("serve", "chat", "--port", "0", "--quiet", "--log-level", "info")
        out, err = self.visit(server)
        assert out == ""
        assert " INFO " in err

    def test_a_reader_of_the_output_that_goes_away_stops_nothing(self, start):
        server = start("serve", "chat", "--port", "0", "--quiet", "--log-level", "error")
        server.process.stdout.close()
        with connect(server.url) as websocket:
            assert websocket.recv(timeout=10) == "user1 come in!"
            websocket.send("still here")
            assert websocket.recv(timeout=10) == "still here"


@posix
class TestEnd:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_signals_close_clients_with_1001_and_exit_with_0(self, start, number):
        server = start("serve", "echo", "--port", "0")
        with connect(server.url) as websocket, connect(server.url) as other:
            websocket.send("hi")
            websocket.recv(timeout=10)
            server.process.send_signal(number)
            assert close_code(websocket) == 1001
            assert close_code(other) == 1001
        assert server.process.wait(10) == 0

    def test_nothing_connected(self, start):
        code, _, err = start("serve", "echo", "--port", "0", "--quiet").stop()
        assert (code, err) == (0, "")

    def test_an_idle_http_connection_is_not_waited_for(self, start):
        server = start("serve", "echo", "--port", "0", "--quiet")
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port)) as client:
            client.request("GET", "/")
            client.getresponse().read()
            before = time.monotonic()
            code, _, err = server.stop()
        assert (code, err) == (0, "")
        assert time.monotonic() - before < 3  # less than keep_alive_timeout

    def test_a_second_signal_does_not_wait_for_stubborn_clients(self, start):
        server = start("serve", "echo", "--port", "0")
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock:
            sock.sendall(
                b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                b"Sec-WebSocket-Version: 13\r\n\r\n"
            )
            assert sock.recv(12) == b"HTTP/1.1 101"
            server.process.send_signal(signal.SIGTERM)
            octets = b""
            while not octets.endswith(b"\x88\x02\x03\xe9"):  # Close, 1001
                octets += sock.recv(4096)
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(5) == -signal.SIGTERM


def test_importing_the_command_line_loads_no_third_party_code():
    program = (
        "import sys; before = set(sys.modules); import duologue.cli; "
        "tops = {name.partition('.')[0] for name in set(sys.modules) - before}; "
        "tops -= {'duologue', 'httptools', 'zlib_ng', *sys.stdlib_module_names}; "
        "print(sorted(name for name in tops if 'cython' not in name))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.stdout == "[]\n", result.stderr
