from __future__ import annotations

import contextlib
import http.client
import json
import signal
import ssl

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect


@pytest.fixture
def demo(start):
    return start("demo", "--port", "0")


def test_prints_the_address_of_its_start_page_first(demo):
    assert demo.url == f"http://127.0.0.1:{demo.port}/"
    assert demo.line() == f"websocket server connection on port {demo.port}"
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", demo.port)) as client:
        for path, words in [
            ("/", b"two equals"),
            ("/echo", b'id="result"'),
            ("/chat", b"<h1>webSocket connection demo</h1>"),
        ]:
            client.request("GET", path)
            response = client.getresponse()
            assert response.status == 200
            assert words in response.read()


def test_websockets_on_the_same_port(demo):
    with connect(f"ws://127.0.0.1:{demo.port}/echo") as echo:
        echo.send(b"binary")
        assert echo.recv(timeout=10) == b"binary"
    with connect(f"ws://127.0.0.1:{demo.port}/") as chat:
        assert chat.recv(timeout=10) == "user1 come in!"


def test_message_limit(demo):
    url = f"ws://127.0.0.1:{demo.port}/echo"
    with connect(url, max_size=None, compression=None) as websocket:
        websocket.send(bytes(1 << 24))
        assert len(websocket.recv(timeout=20)) == 1 << 24


def test_host(start):
    demo = start("demo", "--host", "localhost", "--port", "0")
    assert demo.url.startswith("http://localhost:")
    with connect(f"ws://localhost:{demo.port}/echo"):
        pass


def test_tls(start, certificate):
    demo = start(
        *("demo", "--port", "0"),
        *("--ssl-certfile", certificate.chain, "--ssl-keyfile", certificate.key),
    )
    assert demo.url == f"https://127.0.0.1:{demo.port}/"
    context = ssl.create_default_context(cafile=certificate.authority)
    client = http.client.HTTPSConnection("127.0.0.1", demo.port, context=context)
    with contextlib.closing(client):
        client.request("GET", "/lab")
        assert client.getresponse().status == 200
    with connect(f"wss://127.0.0.1:{demo.port}/echo", ssl=context) as echo:
        echo.send("through TLS")
        assert echo.recv(timeout=10) == "through TLS"
    with connect(f"ws://127.0.0.1:{demo.port}/echo") as echo:
        echo.send("without")
        assert echo.recv(timeout=10) == "without"
    plain = http.client.HTTPConnection("127.0.0.1", demo.port)
    with contextlib.closing(plain):
        plain.request("GET", "/schemes")
        assert plain.getresponse().read() == b'["ws","wss"]'


def test_a_key_without_certificate(run, certificate):
    result = run("demo", "--port", "0", "--ssl-keyfile", certificate.key)
    assert result.returncode == 2
    assert b"--ssl-keyfile needs --ssl-certfile" in result.stderr


def test_the_services_behind_the_pages(demo):
    def url(path):
        return f"ws://127.0.0.1:{demo.port}{path}"

    with connect(url("/subprotocol"), subprotocols=["chat.v1", "chat.v2"]) as websocket:
        assert websocket.subprotocol == "chat.v2"
    with connect(url("/inspect")) as watch:
        token = json.loads(watch.recv(timeout=10))["token"]
        with connect(url(f"/inspected?token={token}")):
            assert "request" in json.loads(watch.recv(timeout=10))


def test_port_in_use(demo, run):
    result = run("demo", "--port", str(demo.port))
    assert result.returncode == 1
    assert f"duologue: cannot listen on 127.0.0.1:{demo.port}: ".encode() in result.stderr


def test_ends_by_signal(demo):
    with connect(f"ws://127.0.0.1:{demo.port}/echo") as websocket:
        demo.process.send_signal(signal.SIGINT)
        with pytest.raises(ConnectionClosed):
            websocket.recv(timeout=10)
        assert websocket.close_code == 1001
    assert demo.process.wait(10) == 0
