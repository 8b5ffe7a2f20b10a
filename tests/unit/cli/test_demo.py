from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import ssl
import sys
import time
from pathlib import Path
from urllib.parse import urlencode

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
    for _ in range(4):  # of whichever worker
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


@contextlib.contextmanager
def page(demo, worker=None, **wishes):
    """A page's WebSocket, at the worker with a number, and what it is told first."""
    wishes |= {} if worker is None else {"avoid": 3 - worker}
    url = f"ws://127.0.0.1:{demo.port}/rooms?{urlencode(wishes)}"
    with contextlib.ExitStack() as stack:
        while True:
            websocket = stack.enter_context(connect(url))
            try:
                told = hear(websocket, "welcome")
                break
            except ConnectionClosed:
                assert websocket.close_code == 4409
        yield websocket, told


def hear(websocket, kind):
    while (news := json.loads(websocket.recv(timeout=20)))["kind"] != kind:
        pass
    return news


def is_there(process):
    """Whether a process runs; one that has ended and that nobody has waited for doesn't."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def children(process, count):
    """The processes that a process has started, when there are as many."""
    deadline = time.monotonic() + 30
    while True:
        found = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                if int(path.read_text().rpartition(")")[2].split()[1]) == process:
                    found.append(int(path.parent.name))
        if len(found) == count:
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@linux
def test_two_workers_are_one_chat_and_one_may_be_killed(demo):
    with (
        page(demo, 1, room="tea", name="Ann") as (ann, ann_is),
        page(demo, 2, room="tea", name="Bob") as (bob, bob_is),
    ):
        assert ann_is["workers"] == bob_is["workers"] == 2
        assert ann_is["process"] != bob_is["process"]
        assert [each["name"] for each in bob_is["members"]] == ["Ann"]
        bob.send("from worker 2")
        said = hear(ann, "said")
        assert (said["name"], said["worker"], said["text"]) == ("Bob", 2, "from worker 2")
        os.kill(bob_is["process"], signal.SIGKILL)
        assert hear(ann, "leave")["name"] == "Bob"
        with page(demo, 2, room="tea", name="Bob") as (back, back_is):
            assert back_is["process"] not in (ann_is["process"], bob_is["process"])
            assert hear(ann, "join")["name"] == "Bob"
            ann.send("welcome back")
            assert hear(back, "said")["text"] == "welcome back"
    code, _, err = demo.stop(signal.SIGINT)
    assert code == 0
    assert "was killed by SIGKILL; replaced" in err
    assert "Traceback" not in err


@linux
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_all_processes_end_together(start, number):
    demo = start("demo", "--port", "0", "--workers", "3", start_new_session=True)
    processes = children(demo.process.pid, 4)  # and the bus between them
    opened = [connect(f"ws://127.0.0.1:{demo.port}{path}") for path in ("/", "/ticker", "/inspect")]
    # As Ctrl-C does, which reaches all of a terminal's processes.
    os.killpg(demo.process.pid, number)
    for websocket in opened:
        with websocket, contextlib.suppress(ConnectionClosed):
            while True:
                websocket.recv(timeout=20)
        assert websocket.close_code == 1001
    assert demo.process.wait(20) == 0
    assert not any(map(is_there, processes))


@linux
def test_workers_do_not_outlive_who_started_them(demo):
    processes = children(demo.process.pid, 3)
    demo.process.kill()
    deadline = time.monotonic() + 30
    while any(map(is_there, processes)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_it_can_be_ended_before_it_serves(start):
    demo = start("demo", "--port", "0")
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(20) == 0
    assert demo.line() == f"websocket server connection on port {demo.port}"


def test_one_worker(start):
    demo = start("demo", "--port", "0", "--workers", "1")
    with page(demo) as (_, told):
        assert (told["worker"], told["workers"]) == (1, 1)
        if sys.platform == "linux":
            assert told["process"] == demo.process.pid


@pytest.mark.parametrize("number", ["0", "-1", "x"])
def test_workers_are_a_number(run, number):
    result = run("demo", "--workers", number)
    assert result.returncode == 2
    assert b"--workers" in result.stderr


def test_ends_by_signal(demo):
    with connect(f"ws://127.0.0.1:{demo.port}/echo") as websocket:
        demo.process.send_signal(signal.SIGINT)
        with pytest.raises(ConnectionClosed):
            websocket.recv(timeout=10)
        assert websocket.close_code == 1001
    assert demo.process.wait(10) == 0
