from __future__ import annotations

import contextlib
import datetime
import os
import signal
import socket
import ssl
import subprocess
import sys

import pytest
import trustme

COMMAND = [sys.executable, "-m", "duologue"]

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX only")


def check(result, complaint: str) -> None:
    assert result.returncode == 1
    assert result.stdout == b""
    (line,) = result.stderr.decode().splitlines()
    assert line.startswith("duologue: cannot connect to ws")
    assert complaint in line


def test_host_name(run):
    check(run("ws://host.invalid/"), "the host name can't be resolved")


def test_refused(run):
    with contextlib.closing(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))  # and not listening
        port = sock.getsockname()[1]
        check(run(f"ws://127.0.0.1:{port}/"), "Connection refused")


def test_http_status_with_its_body(run, answering):
    body = b"Go\x1b away, " + b"please " * 200
    head = b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n" % len(body)
    with answering(head + body) as port:
        result = run(f"ws://127.0.0.1:{port}/")
    check(result, "the server refused with HTTP 403 Forbidden: Go\\x1b away, please")
    assert len(result.stderr) < 700


def test_a_page_instead_of_a_websocket(run, answering):
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello") as port:
        check(run(f"ws://127.0.0.1:{port}/"), "refused with HTTP 200 OK: hello")


def test_wrong_accept(run, answering):
    octets = (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n"
    )
    with answering(octets) as port:
        check(run(f"ws://127.0.0.1:{port}/"), "Sec-WebSocket-Accept")


def test_something_else_than_http(run, answering):
    with answering(b"220 smtp.example ESMTP\r\n") as port:
        check(run(f"ws://127.0.0.1:{port}/"), "the server did not answer in HTTP")


@pytest.mark.slow
def test_time_out(run, answering):
    with answering(b"", hold=True) as port:
        check(run(f"ws://127.0.0.1:{port}/"), "timed out")


def test_certificate_of_a_stranger(run, start, certificate):
    server = start("serve", "echo", "--port", "0", "--ssl-certfile", certificate.both)
    check(run(server.url), "the server's certificate can't be trusted: ")
    result = run(server.url, input=b"hi\n", env=certificate.trusted)
    assert (result.returncode, result.stdout) == (0, b"hi\n")


@pytest.fixture
def issued(tmp_path):
    """Gives TLS settings of a server, with a certificate of the given kind, and a trusting file."""
    authority = trustme.CA()
    trusting = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(trusting))

    def issued(kind):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if kind == "self-signed":
            (tmp_path / "own.pem").write_bytes(authority.private_key_pem.bytes())
            context.load_cert_chain(trusting, tmp_path / "own.pem")
            return context, None
        past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
        name = "elsewhere.example" if kind == "other host" else "127.0.0.1"
        expiry = {"not_after": past} if kind == "expired" else {}
        authority.issue_cert(name, **expiry).configure_cert(context)
        return context, str(trusting)

    return issued


@pytest.mark.parametrize(
    ("kind", "complaint"),
    [
        ("expired", "the server's certificate can't be trusted: certificate has expired"),
        ("self-signed", "the server's certificate can't be trusted: self-signed certificate"),
        ("other host", "the server's certificate can't be trusted: IP address mismatch"),
    ],
)
def test_certificates(run, serving, issued, kind, complaint):
    context, trusting = issued(kind)
    with serving(ssl=context) as url:
        check(run(url, *([] if trusting is None else ["--ca", trusting])), complaint)


def test_tls_where_none_is_expected(run, serving, issued):
    with serving(ssl=issued("good")[0]) as url:
        check(run(url.replace("wss:", "ws:")), "the server")


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ("", "the server answered without opening a WebSocket: missing Connection header"),
        ("Connection: Upgrade\r\nUpgrade: h2c\r\n", "without opening a WebSocket: invalid Upgrade"),
        (
            "Connection: Upgrade\r\nUpgrade: websocket\r\n",
            "the server's answer is not to our request: missing Sec-WebSocket-Accept header",
        ),
    ],
)
def test_switching_to_something_else(run, answering, lines, complaint):
    with answering(f"HTTP/1.1 101 Switching Protocols\r\n{lines}\r\n".encode()) as port:
        check(run(f"ws://127.0.0.1:{port}/"), complaint)


def test_a_password_is_not_shown(run):
    result = run("ws://me:secret@127.0.0.1:1/")
    check(result, "cannot connect to ws://me:***@127.0.0.1:1/: Connection refused")


def test_tls_with_a_server_that_has_none(run, answering):
    with answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        check(run(f"wss://127.0.0.1:{port}/"), "the TLS handshake failed: wrong version")


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_a_server_that_hangs_up(run, scheme, answering):
    with answering(b"") as port:
        check(run(f"{scheme}://127.0.0.1:{port}/"), "the server closed the connection")


@posix
def test_interrupted(answering):
    with answering(b"", hold=True) as port:
        with subprocess.Popen(
            [*COMMAND, f"ws://127.0.0.1:{port}/", "-v"], stderr=subprocess.PIPE
        ) as process:
            assert process.stderr.readline() == b"> GET / HTTP/1.1\n"
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 1
            assert process.stderr.read().endswith(b": interrupted\n")


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "ws://", "nonsense", "ws://h/#fragment"])
def test_not_a_url_is_wrong_usage(run, url):
    result = run("connect", url)
    assert result.returncode == 2
    assert b"usage: duologue connect" in result.stderr
