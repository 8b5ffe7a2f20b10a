"""``duologue serve`` with applications: what counts as one, and that they are served."""

from __future__ import annotations

import functools
import http.client
import json
import os
import socket
import struct

import pytest
from websockets.sync.client import connect

from duologue.cli.applications import is_asgi

MODULE = """
import duologue

app = duologue.App()

@app.get("/who")
async def who(request):
    return [request.client[0], request.scheme]

@app.get("/url")
async def url(request):
    return request.url

@app.websocket("/echo/{name}")
async def echo(ws, name):
    async for message in ws:
        await ws.send(f"{name}: {message}")

def make():
    return app

class Maker:
    def __call__(self):
        return app

maker = Maker()

def broken():
    raise OSError("no database")

async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while (event := await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": event["text"].upper()})
    else:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode()})
"""


@pytest.fixture
def module(tmp_path):
    (tmp_path / "applications.py").write_text(MODULE)
    return tmp_path


def get(server, path, headers=None):
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    client.request("GET", path, headers=headers or {})
    body = client.getresponse().read()
    client.close()
    return body


def test_an_app(start, module):
    server = start("serve", "applications:app", "--port", "0", cwd=module)
    assert server.url == f"http://127.0.0.1:{server.port}/"
    with connect(f"ws://127.0.0.1:{server.port}/echo/a") as websocket:
        websocket.send("hi")
        assert websocket.recv(timeout=20) == "a: hi"
    forwarded = {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https"}
    assert get(server, "/who", forwarded) == b'["192.0.2.1","https"]'


def test_structured_logs_and_metrics(start, module):
    arguments = ["--log-format", "json", "--metrics", "0", "--drain-timeout", "none"]
    server = start("serve", "applications:app", "--port", "0", *arguments, cwd=module, merged=True)
    assert get(server, "/who")
    code, output, _ = server.stop()
    assert code == 0
    records = [json.loads(line) for line in output.splitlines()]
    assert {record["level"] for record in records} == {"info"}
    (access,) = (record for record in records if record["logger"] == "duologue.access")
    assert (access["method"], access["target"], access["status"]) == ("GET", "/who", 200)


@pytest.mark.parametrize(
    ("target", "arguments"),
    [
        ("applications:make", ["--access-log", "--no-access-log", "--timeout-keep-alive", "none"]),
        (
            "applications:maker",
            ["--factory", "--no-access-log", "--backlog", "7", "--proxy-headers"],
        ),
    ],
)
def test_what_makes_an_app(start, module, target, arguments):
    place = ["--port", "0", "--root-path", "/api"]
    server = start("serve", target, *place, *arguments, cwd=module, merged=True)
    assert get(server, "/url").endswith(b"/api/url")
    code, output, _ = server.stop()
    assert code == 0
    assert "duologue.access" not in output


def test_an_app_behind_the_proxy_protocol(start, module):
    arguments = ["--proxy-protocol", "--no-proxy-headers", "--proxy-allow-ips", "127.0.0.0/8"]
    server = start("serve", "applications:app", "--port", "0", *arguments, cwd=module)
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as sock:
        body = struct.pack("!4s4sHH", bytes([192, 0, 2, 7]), bytes([127, 0, 0, 1]), 1, 2)
        sock.sendall(b"\r\n\r\n\0\r\nQUIT\n" + struct.pack("!BBH", 0x21, 0x11, 12) + body)
        sock.sendall(
            b"GET /who HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 6.6.6.6\r\n"
            b"Connection: close\r\n\r\n"
        )
        answer = b"".join(iter(functools.partial(sock.recv, 65536), b""))
    assert answer.endswith(b'["192.0.2.7","http"]')


def test_an_asgi_application(start, module):
    server = start("serve", "applications:asgi", "--port", "0", "--max-size", "5", cwd=module)
    assert get(server, "/any/path") == b"/any/path"
    with connect(f"ws://127.0.0.1:{server.port}/", origin="https://other.test") as websocket:
        websocket.send("hi")
        assert websocket.recv(timeout=20) == "HI"


@pytest.mark.parametrize(
    ("target", "arguments", "complaint"),
    [
        ("echo", ["--proxy-protocol"], b"--proxy-protocol is for applications only"),
        ("echo", ["--ssl-ca-certs", "x"], b"--ssl-ca-certs is for applications only"),
        ("applications:app", ["--max-size", "5"], b"for the App to set"),
        ("echo", ["--factory"], b"--factory is for applications only"),
        ("echo", ["--root-path", "/x"], b"--root-path is for applications only"),
        ("applications:broken", [], b"can't be made: OSError: no database"),
        ("applications:app", ["--root-path", "x"], b"root_path begins with a slash"),
        ("applications:app", ["--forwarded-allow-ips", "x"], b"neither an IP address"),
        ("applications:app", ["--ssl-certfile", "none.pem"], b"cannot read none.pem"),
        ("echo", ["--workers", "2"], b"--workers is for applications only"),
        ("echo", ["--metrics", "9000"], b"--metrics is for applications only"),
        ("applications:app", ["--workers", "2", "--max-size", "5"], b"for the App to set"),
        ("applications:app", ["--metrics", "x"], b"metrics must be a port or 'host:port'"),
    ],
)
def test_what_does_not_go_together(run, module, target, arguments, complaint):
    result = run("serve", target, "--port", "0", *arguments, cwd=module)
    assert result.returncode != 0
    assert complaint in result.stderr


async def asgi(scope, receive, send): ...


async def handler(ws): ...


class Application:
    async def __call__(self, scope, receive, send): ...

    async def method(self, scope, receive, send): ...


def test_what_an_asgi_application_is():
    assert is_asgi(asgi)
    assert is_asgi(Application())
    assert is_asgi(Application().method)
    for other in (handler, Application, os.path.join, "text", None, lambda a, b, c: None):
        assert not is_asgi(other)
