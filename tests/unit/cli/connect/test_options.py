"""Each option, by what differs with and without it."""

from __future__ import annotations

import argparse
import contextlib
import os
import ssl
import subprocess
import sys
import threading
import time

import pytest
import trustme

from duologue.cli.connect import add_parser
from duologue.cli.connect.opening import make
from duologue.cli.failure import Failure

COMMAND = [sys.executable, "-m", "duologue"]


@pytest.fixture
def request_of(run, serving):
    """Gives the headers of the request that ``duologue connect`` makes with the arguments given."""

    def request_of(*arguments: str, **options):
        requests = []

        def handler(websocket):
            requests.append(websocket.request)

        with serving(handler, **options) as url:
            result = run("connect", url, *arguments)
        assert result.returncode == 0, result.stderr
        return requests[0].headers

    return request_of


class TestRequest:
    def test_header(self, request_of):
        headers = request_of("-H", "X-One: 1", "--header", "x-two:2:2", "-H", "X-One:3")
        assert headers.get_all("X-One") == ["1", "3"]
        assert headers["X-Two"] == "2:2"
        assert "X-One" not in request_of()

    def test_host_and_user_agent_can_be_others(self, request_of):
        headers = request_of("-H", "Host: elsewhere.example", "-H", "User-Agent: me")
        assert headers.get_all("Host") == ["elsewhere.example"]
        assert headers.get_all("User-Agent") == ["me"]

    @pytest.mark.parametrize(
        ("header", "complaint"),
        [
            ("X-One", "--header wants NAME:VALUE, not 'X-One'"),
            ("a b: c", "header name is not a token"),
            ("X: a\nb", "invalid X header"),
            ("Upgrade: h2c", "--header Upgrade is for the handshake"),
            ("sec-websocket-protocol: a", "use --subprotocol"),
        ],
    )
    def test_not_a_header(self, run, header, complaint):
        result = run("connect", "ws://127.0.0.1:1/", "-H", header)
        assert result.returncode == 2
        assert complaint in result.stderr.decode()

    @pytest.mark.parametrize("option", ["-o", "--origin"])
    def test_origin(self, request_of, option):
        assert request_of(option, "https://page.example")["Origin"] == "https://page.example"
        assert "Origin" not in request_of()

    def test_not_an_origin(self, run):
        result = run("connect", "ws://127.0.0.1:1/", "-o", "a\r\nb: c")
        assert (result.returncode, b"invalid Origin header" in result.stderr) == (2, True)

    def test_subprotocols(self, request_of):
        headers = request_of("-s", "v2", "--subprotocol", "v1, v0", subprotocols=["v0"])
        assert headers["Sec-WebSocket-Protocol"] == "v2, v1, v0"
        assert "Sec-WebSocket-Protocol" not in request_of()

    def test_not_a_subprotocol(self, run):
        result = run("connect", "ws://127.0.0.1:1/", "-s", "a b")
        assert (result.returncode, b"invalid subprotocol: a b" in result.stderr) == (2, True)

    def test_auth(self, request_of):
        assert request_of("--auth", "me:a:b")["Authorization"] == "Basic bWU6YTpi"
        assert "Authorization" not in request_of()

    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            (["--auth", "me"], "--auth wants USER:PASSWORD"),
            (["--auth", "a:b", "-H", "authorization: c"], "exclude each other"),
        ],
    )
    def test_not_credentials(self, run, arguments, complaint):
        result = run("connect", "ws://127.0.0.1:1/", *arguments)
        assert result.returncode == 2
        assert complaint in result.stderr.decode()

    def test_no_compression(self, request_of):
        assert "permessage-deflate" in request_of()["Sec-WebSocket-Extensions"]
        assert "Sec-WebSocket-Extensions" not in request_of("--no-compression")


def redirection(target: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode()


class TestRedirects:
    def test_without_the_option_it_is_named(self, run, answering):
        with answering(redirection("/there")) as port:
            result = run("connect", f"ws://127.0.0.1:{port}/")
        assert result.returncode == 1
        assert result.stderr.decode() == (
            f"duologue: cannot connect to ws://127.0.0.1:{port}/: the server redirects to /there, "
            "which -L follows: HTTP 302 Found\n"
        )

    @pytest.mark.parametrize("option", ["-L", "--location"])
    def test_it_is_followed_without_credentials(self, run, answering, serving, option):
        requests = []

        def handler(websocket):
            requests.append(websocket.request)

        with serving(handler) as url, answering(redirection(f"{url}there")) as port:
            result = run(f"ws://127.0.0.1:{port}/", option, "--auth", "a:b", "-H", "X: y")
        assert result.returncode == 0, result.stderr
        assert requests[0].path == "/there"
        assert requests[0].headers["X"] == "y"
        assert "Authorization" not in requests[0].headers

    def test_failure_after_it(self, run, answering):
        with answering(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n") as there:
            with answering(redirection(f"ws://127.0.0.1:{there}/there")) as port:
                result = run(f"ws://127.0.0.1:{port}/", "-L")
        assert result.returncode == 1
        assert result.stderr.decode() == (
            f"duologue: cannot connect to ws://127.0.0.1:{port}/, redirected to "
            f"ws://127.0.0.1:{there}/there: the server refused with HTTP 404 Not Found\n"
        )

    def test_tls_settings_hold_behind_it(self, run, answering, serving, certificate, server_tls):
        with serving(ssl=server_tls) as url:
            for options, code in ((["--ca", certificate.authority], 0), ([], 1)):
                with answering(redirection(url)) as port:
                    result = run(f"ws://127.0.0.1:{port}/", "-L", *options)
                assert result.returncode == code, result.stderr


@pytest.fixture
def server_tls(certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.both)
    return context


class TestTls:
    @pytest.mark.parametrize("option", ["-k", "--insecure", "-n", "--no-check"])
    def test_insecure(self, run, serving, server_tls, option):
        with serving(ssl=server_tls) as url:
            assert run("connect", url, "-w", "0").returncode == 1
            assert run("connect", url, "-w", "0", option).returncode == 0

    def test_insecure_is_for_other_names_too(self, run, serving, tmp_path):
        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("elsewhere.example").configure_cert(context)
        with serving(ssl=context) as url:
            assert run("connect", url, "-w", "0", "-k").returncode == 0

    def test_ca(self, run, serving, server_tls, certificate, tmp_path):
        stranger = tmp_path / "stranger.pem"
        trustme.CA().cert_pem.write_to_path(str(stranger))
        with serving(ssl=server_tls) as url:
            assert run("connect", url, "-w", "0", "--ca", certificate.authority).returncode == 0
            # No others: not those of the system either.
            result = run("connect", url, "--ca", str(stranger), env=certificate.trusted)
        assert result.returncode == 1
        assert b"the server's certificate can't be trusted" in result.stderr

    def test_cert_and_key(self, run, serving, server_tls, certificate):
        server_tls.verify_mode = ssl.CERT_REQUIRED
        server_tls.load_verify_locations(certificate.authority)
        trusting = ["--ca", certificate.authority, "-w", "0"]
        with serving(ssl=server_tls) as url:
            ours = ["--cert", certificate.chain, "--key", certificate.key]
            assert run("connect", url, *trusting, *ours).returncode == 0
            assert run("connect", url, *trusting, "--cert", certificate.both).returncode == 0
            result = run("connect", url, *trusting)
        assert result.returncode == 1
        assert b"certificate required" in result.stderr

    @pytest.mark.parametrize(
        ("arguments", "code", "complaint"),
        [
            (["--ca", "missing.pem"], 1, "cannot read missing.pem: No such file"),
            (["--cert", "missing.pem"], 1, "cannot read missing.pem: No such file"),
            (["--ca", __file__], 1, "holds no certificates"),
            (["--cert", __file__], 1, f"cannot use {__file__} as certificate and private key"),
            (["--key", __file__], 2, "--key needs --cert"),
        ],
    )
    def test_files_that_cannot_be_used(self, run, arguments, code, complaint):
        result = run("connect", "wss://127.0.0.1:1/", *arguments)
        assert result.returncode == code
        assert complaint in result.stderr.decode()
        assert b"Traceback" not in result.stderr

    def test_an_encrypted_key_in_a_pipe(self, run, encrypted):
        result = run("connect", "wss://127.0.0.1:1/", "--cert", encrypted[0], "--key", encrypted[1])
        assert result.returncode == 1
        assert b"is encrypted: decrypt it first" in result.stderr

    def test_the_password_of_an_encrypted_key(self, person, encrypted):
        somebody = person("wss://127.0.0.1:1/", "--cert", encrypted[0], "--key", encrypted[1])
        somebody.see(lambda lines: "password of the private key in" in "".join(lines))
        somebody.type("secret\r")
        assert somebody.leave() == 1
        assert "Connection refused" in "".join(somebody.lines())
        assert "secret" not in "".join(somebody.lines())


@pytest.fixture
def encrypted(certificate, tmp_path) -> tuple[str, str]:
    from cryptography.hazmat.primitives import serialization as s

    with open(certificate.key, "rb") as file:
        key = s.load_pem_private_key(file.read(), None)
    path = tmp_path / "encrypted.pem"
    path.write_bytes(
        key.private_bytes(
            s.Encoding.PEM, s.PrivateFormat.PKCS8, s.BestAvailableEncryption(b"secret")
        )
    )
    return certificate.chain, str(path)


class TestProxy:
    def test_it_is_used(self, run, serving, tunnelling):
        with serving() as url, tunnelling() as (proxy, heads):
            result = run("connect", url, "--proxy", proxy, "-1", input=b"hi\n")
        assert (result.returncode, result.stdout) == (0, b"hi\n")
        assert heads[0].startswith("CONNECT 127.0.0.1:")

    def test_the_environment_and_how_not_to_use_it(self, run, serving, tunnelling):
        with serving() as url, tunnelling() as (proxy, heads):
            environment = {**os.environ, "HTTP_PROXY": proxy, "HTTPS_PROXY": proxy}
            environment |= {"http_proxy": proxy, "https_proxy": proxy, "no_proxy": ""}
            assert run("connect", url, "-w0", "--proxy", "none", env=environment).returncode == 0
            assert heads == []
            assert run("connect", url, "-w0", env=environment).returncode == 0
            assert len(heads) == 1

    def test_it_refuses(self, run, tunnelling):
        with tunnelling("407 Who are you") as (proxy, _):
            result = run("connect", "ws://127.0.0.1:1/", "--proxy", proxy)
        assert result.returncode == 1
        (line,) = result.stderr.decode().splitlines()
        assert "the proxy refused with HTTP 407 Who are you" in line
        assert f"through the proxy {proxy}" in line

    def test_nobody_is_there(self, run):
        result = run("connect", "ws://server.example/", "--proxy", "http://127.0.0.1:1")
        assert result.returncode == 1
        (line,) = result.stderr.decode().splitlines()
        assert "Connection refused" in line
        assert "the proxy http://127.0.0.1:1" in line

    def test_not_a_proxy(self, run):
        result = run("connect", "ws://127.0.0.1:1/", "--proxy", "ftp://127.0.0.1")
        assert result.returncode == 2
        assert b"scheme ftp isn't supported" in result.stderr

    def test_not_a_proxy_in_the_environment(self, run):
        environment = {
            **os.environ,
            "http_proxy": "ftp://127.0.0.1",
            "https_proxy": "",
            "no_proxy": "",
        }
        environment["socks_proxy"] = ""
        result = run("connect", "ws://server.example/", env=environment)
        assert result.returncode == 1
        assert b"Traceback" not in result.stderr
        assert b"scheme ftp isn't supported" in result.stderr


class TestSending:
    @pytest.mark.parametrize("option", ["-x", "--execute"])
    def test_execute(self, run, serving, option):
        heard = []

        def handler(websocket):
            for message in websocket:
                heard.append(message)
                websocket.send(message)

        with serving(handler) as url:
            result = run("connect", url, option, "one", "-x", "/two", input=b"not this\n")
        assert (result.returncode, result.stdout) == (0, b"one\n/two\n")
        assert heard == ["one", "/two"]

    @pytest.mark.parametrize("option", ["-w", "--wait"])
    @pytest.mark.parametrize("execute", [[], ["-x", "x"]])
    def test_wait(self, run, serving, option, execute):
        times = []

        def handler(websocket):
            before = time.monotonic()
            for _ in websocket:
                pass
            times.append(time.monotonic() - before)

        with serving(handler) as url:
            for seconds in ("0.3", "2.5"):
                assert run("connect", url, *execute, option, seconds).returncode == 0
        # The server begins to count a little later; less than the next one.
        assert 0.25 <= times[0] < 2
        assert times[1] >= 2.4  # more than SILENCE

    @pytest.mark.parametrize("forever", [["-w", "none"], ["--wait=-1"], ["-w-1"]])
    def test_wait_for_ever_and_read_the_input(self, serving, forever):
        with serving() as url:
            with subprocess.Popen(
                [*COMMAND, url, "-x", "one", *forever],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            ) as process:
                process.stdin.write(b"two\n")
                process.stdin.close()
                assert process.stdout.readline() == b"one\n"
                assert process.stdout.readline() == b"two\n"
                with pytest.raises(subprocess.TimeoutExpired):
                    process.wait(1.5)  # longer than SILENCE
                process.terminate()
                assert process.wait(10) == 0

    @pytest.mark.parametrize("text", ["", "x", "-2", "nan", "inf"])
    def test_not_a_time_to_wait(self, run, text):
        result = run("connect", "ws://127.0.0.1:1/", f"--wait={text}")
        assert (result.returncode, b"is not a number of seconds" in result.stderr) == (2, True)

    @pytest.mark.parametrize("option", ["-1", "--one-message"])
    def test_one_message(self, run, serving, option):
        heard = []

        def handler(websocket):
            websocket.send("hello")
            for message in websocket:
                heard.append(message)
                websocket.send(message)

        with serving(handler) as url:
            result = run("connect", url, option, input=b"one\ntwo\nthree\n")
        assert (result.returncode, result.stdout) == (0, b"hello\n")
        assert heard == ["one"]

    def test_one_message_without_input(self, run, serving):
        def handler(websocket):
            time.sleep(1.2)  # longer than SILENCE
            with contextlib.suppress(Exception):
                for number in range(100):
                    websocket.send(str(number))

        with serving(handler) as url:
            result = run("connect", url, "-1")
        assert (result.returncode, result.stdout) == (0, b"0\n")

    def test_one_message_that_does_not_come(self, run, serving):
        with serving() as url:
            result = run("connect", url, "-1", "-w", "0.2")
        assert (result.returncode, result.stdout) == (0, b"")
        assert b"duologue: no message came within 0.2 s" in result.stderr

    @pytest.mark.parametrize("option", ["-b", "--binary"])
    def test_binary(self, run, serving, option):
        heard = []

        def handler(websocket):
            websocket.send("tëxt")
            for message in websocket:
                heard.append(message)
                websocket.send(message)

        octets = os.urandom(100_000) + b"\r\n\n\xff"
        with serving(handler) as url:
            result = run("connect", url, option, input=octets)
        assert result.returncode == 0
        assert result.stdout == "tëxt".encode() + octets
        assert all(isinstance(message, bytes) for message in heard)
        assert max(len(message) for message in heard) <= 65536

    def test_binary_and_execute(self, run, serving):
        with serving() as url:
            assert run("connect", url, "-b", "-1", "-x", "ü").stdout == "ü".encode()
            assert run("connect", url, "-1", "-x", "ü").stdout == "ü\n".encode()

    def test_slash(self, run, serving, tmp_path):
        file = tmp_path / "file"
        file.write_bytes(b"\x00\x01")
        lines = f"/ping\n/oops\n//x\n/binary {file}\n".encode()

        def echo_twice(websocket):
            for _ in range(2):
                websocket.send(websocket.recv())

        with serving(echo_twice) as url:
            result = run("connect", url, "--slash", "-w", "none", input=lines)
        assert result.returncode == 0, result.stderr
        assert result.stdout == b"/x\n(binary) 0001\n"
        errors = result.stderr.decode().splitlines()
        assert errors[0].startswith("pong after ")
        assert errors[1].startswith("duologue: line 2: there is no command /oops")
        assert errors[2:] == ["duologue: closed: 1000 (OK)"]
        with serving() as url:
            closed = run("connect", url, "--slash", input=b"/close 4000 done\nnot sent\n")
            plain = run("connect", url, "-1", input=lines)
        assert (closed.returncode, closed.stdout) == (0, b"")
        assert closed.stderr == b"duologue: closed: 4000 (private use) done\n"
        assert plain.stdout == b"/ping\n"

    @pytest.mark.parametrize(
        ("size", "complaint"), [(None, "No such file"), (-1, "not a file"), ((1 << 24) + 1, "more")]
    )
    def test_files_that_cannot_be_sent(self, run, serving, tmp_path, size, complaint):
        path = tmp_path / "file"
        if size == -1:
            path.mkdir()
        elif size is not None:
            path.write_bytes(bytes(size))
        with serving() as url:
            result = run("connect", url, "--slash", "-w0", input=f"/binary {path}\n".encode())
        assert result.returncode == 0
        assert complaint in result.stderr.decode()


class TestShowing:
    @staticmethod
    def handler(websocket):
        websocket.ping(b"knock").wait()
        websocket.send("hi\x1b")

    @pytest.mark.parametrize("option", ["-P", "--show-ping-pong"])
    def test_pings(self, run, serving, option):
        with serving(self.handler) as url:
            result = run("connect", url, "-1", option)
            without = run("connect", url, "-1")
        assert result.stdout == without.stdout == b"hi\x1b\n"
        assert b"< PING 'knock' [text, 5 bytes]\n" in result.stderr
        assert b"PONG" not in result.stderr  # it was sent
        assert b"PING" not in without.stderr

    def test_pongs(self, run, serving):
        with serving() as url:
            result = run("connect", url, "-P", "--slash", "-w0", input=b"/ping me\n")
        assert b"< PONG 'me' [text, 2 bytes]\n" in result.stderr

    @pytest.mark.parametrize("option", ["-q", "--quiet"])
    def test_quiet(self, run, serving, option):
        with serving() as url:
            assert run("connect", url, "-w0").stderr == b"duologue: closed: 1000 (OK)\n"
            assert run("connect", url, "-w0", option).stderr == b""

    def test_quiet_about_failures_never(self, run, serving):
        with serving(lambda websocket: websocket.close(1011)) as url:
            result = run("connect", url, "-q")
        assert result.returncode == 3
        assert result.stderr == b"duologue: closed: 1011 (internal error)\n"
        assert b"Connection refused" in run("connect", "ws://127.0.0.1:1/", "-q").stderr

    @pytest.mark.parametrize("option", ["-v", "--verbose"])
    def test_verbose(self, run, serving, option):
        def handler(websocket):
            self.handler(websocket)
            websocket.recv()

        with serving(handler) as url:
            result = run(
                *("connect", url, "-1", option, "--auth", "me:secret"), input="grüß\n".encode()
            )
            without = run("connect", url, "-1", input=b"x\n")
        assert result.stdout == without.stdout == b"hi\x1b\n"
        lines = result.stderr.decode().splitlines()
        for line in (
            "> GET / HTTP/1.1",
            "> Authorization: ***",
            "< HTTP/1.1 101 Switching Protocols",
            "< ping [fin, 5 bytes]",
            "<   0000  6b 6e 6f 63 6b                                    knock",
            "> text [fin, 6 bytes]",
            ">   0000  67 72 c3 bc c3 9f                                 gr....",
            "> close 1000 (OK) [fin, 2 bytes]",
            "< close 1000 (OK) [fin, 2 bytes]",
        ):
            assert line in lines
        assert b"GET" not in without.stderr

    def test_verbose_about_a_refusal(self, run, answering):
        with answering(b"HTTP/1.1 403 No\r\nX: y\r\nContent-Length: 0\r\n\r\n") as port:
            result = run(f"ws://127.0.0.1:{port}/", "-v")
        lines = result.stderr.decode().splitlines()
        assert "< X: y" in lines


class TestKeeping:
    def test_ping_interval(self, run, serving):
        with serving() as url:
            often = run("connect", url, "-v", "-w1", "--ping-interval", "0.2").stderr
            usual = run("connect", url, "-v", "-w1").stderr
        assert often.count(b"> ping") >= 3
        assert b"> ping" not in usual

    @pytest.mark.parametrize(("text", "interval"), [("none", None), ("7.5", 7.5), (None, 20)])
    def test_ping_interval_of_the_connection(self, text, interval):
        arguments = parse(*([] if text is None else ["--ping-interval", text]))
        assert make(arguments, None)._settings.ping_interval == interval

    @pytest.mark.parametrize("text", ["0", "-1", "often"])
    def test_not_an_interval(self, run, text):
        result = run("connect", "ws://127.0.0.1:1/", f"--ping-interval={text}")
        assert (result.returncode, b"and not 'none'" in result.stderr) == (2, True)

    def test_reconnect(self, run, serving):
        count = 0

        def handler(websocket):
            nonlocal count
            count += 1
            websocket.send(f"connection {count}: {websocket.recv()}")
            if count < 3:
                websocket.close(1011)
            else:
                websocket.send("enough")
                websocket.recv()

        with serving(handler) as url:
            lost = run("connect", url, "-x", "hello")
            assert (lost.returncode, lost.stdout) == (3, b"connection 1: hello\n")
            count = 0
            kept = run("connect", url, "-x", "hello", "--reconnect", "-w5")
        assert kept.returncode == 0
        assert kept.stdout.decode().splitlines() == [
            "connection 1: hello",
            "connection 2: hello",
            "connection 3: hello",
            "enough",
        ]
        assert kept.stderr.count(b"reconnecting in") == 2

    def test_what_is_piped_waits_for_the_next_connection(self, serving):
        heard = []
        first = threading.Event()

        def handler(websocket):
            if not heard:
                heard.append(websocket.recv())
                websocket.close(1011)
                first.set()
            else:
                for message in websocket:
                    heard.append(message)

        with serving(handler) as url:
            with subprocess.Popen(
                [*COMMAND, url, "--reconnect", "-w0"], stdin=subprocess.PIPE, stderr=subprocess.PIPE
            ) as process:
                process.stdin.write(b"one\n")
                process.stdin.flush()
                assert first.wait(20)
                assert b"connection lost; reconnecting in" in process.stderr.readline()
                process.stdin.write(b"two\nthree\n")
                process.stdin.close()
                assert process.wait(20) == 0
        assert heard == ["one", "two", "three"]

    def test_reconnect_ends_with_what_time_does_not_mend(self, run, answering):
        with answering(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n") as port:
            result = run(f"ws://127.0.0.1:{port}/", "--reconnect")
        assert result.returncode == 1
        assert b"refused with HTTP 403" in result.stderr

    def test_reconnect_from_the_beginning(self, run, answering):
        refusal = b"HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n"
        answers = refusal % b"503 Later", refusal % b"403 No"
        with answering(*answers) as port:
            result = run(f"ws://127.0.0.1:{port}/", "--reconnect")
        assert result.returncode == 1
        assert b"reconnecting in" in result.stderr
        assert b"refused with HTTP 403" in result.stderr


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    return parser.parse_args(["connect", "ws://127.0.0.1:1/", *arguments])


def test_options_may_come_before_a_bare_url(run, serving):
    with serving() as url:
        assert run("-1", url, input=b"hi\n").stdout == b"hi\n"


def test_the_help_names_the_exit_codes(run):
    text = run("connect", "--help").stdout.decode()
    assert "3  closed abnormally" in text
    assert "--no-check" in text


def test_a_missing_file_is_a_failure():
    with pytest.raises(Failure, match="cannot read missing"):
        make(parse("--ca", "missing"), None)
