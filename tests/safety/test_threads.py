"""The threads API at the edges of a process: its end, a fork, an interrupt; many threads."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from duologue.base.accounts import accounts
from duologue.sync.client import connect
from duologue.sync.server import serve

from .rig import descriptors


def echo(ws: Any) -> None:
    for message in ws:
        ws.send(message)


@pytest.fixture
def url() -> Iterator[str]:
    with serve(echo, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/"
    thread.join()


def run(url: str, code: str) -> tuple[int, str, str]:
    """Run a program; return its status and what it wrote, also as warnings."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", PREAMBLE + textwrap.dedent(code), url],
        capture_output=True,
        text=True,
        timeout=30,
    )
    return done.returncode, done.stdout, done.stderr


PREAMBLE = """
import atexit, os, signal, sys, threading, time
from duologue.sync.client import connect
from duologue.sync.server import serve

def talk(ws):
    ws.send("hello")
    assert ws.recv(timeout=10) == "hello"

URL = sys.argv[1]
"""

ENDS = {
    "an open connection": "ws = connect(URL, proxy=None); talk(ws)",
    "a thread that receives": """
        ws = connect(URL, proxy=None)
        threading.Thread(target=ws.recv, daemon=True).start()
    """,
    "a connection closed at exit": """
        atexit.register(lambda: ws.close())
        ws = connect(URL, proxy=None)
        talk(ws)
    """,
    "a server that serves": """
        def handler(ws):
            for message in ws:
                ws.send(message)
        server = serve(handler, "127.0.0.1", 0)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with connect("ws://127.0.0.1:%d/" % server.socket.getsockname()[1], proxy=None) as ws:
            talk(ws)
    """,
    "a server that never served": "server = serve(print, '127.0.0.1', 0); server.socket.close()",
}


@pytest.mark.parametrize("code", ENDS.values(), ids=ENDS)
def test_the_interpreter_ends(url: str, code: str) -> None:
    """Nothing hangs, and nothing is said."""
    assert run(url, code) == (0, "", "")


def test_fork(url: str) -> None:
    """The child has connections of its own, and refuses its parent's; the parent goes on."""
    code = """
    import warnings
    warnings.simplefilter("ignore", DeprecationWarning)
    def handler(ws):
        for message in ws:
            ws.send(message)
    server = serve(handler, "127.0.0.1", 0)
    ws = connect(URL, proxy=None)
    ws.send("over the fork")
    process = os.fork()
    if process == 0:
        refused = 0
        for call in (ws.recv, lambda: ws.send("x"), ws.close, ws.ping, server.shutdown):
            try:
                call()
            except RuntimeError as error:
                assert "a child has to make its own" in str(error)
                refused += 1
        with connect(URL, proxy=None) as own:
            talk(own)
        os._exit(refused)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 5
    assert ws.recv(timeout=10) == "over the fork"
    talk(ws)
    server.shutdown()
    print("done")
    """
    assert run(url, code) == (0, "done\n", "")


def test_interrupted_server() -> None:
    """Ctrl-C in ``serve_forever`` ends a server that has open connections."""
    code = """
    def handler(ws):
        for message in ws:
            ws.send(message)
    try:
        with serve(handler, "127.0.0.1", 0) as server:
            port = server.socket.getsockname()[1]
            client = threading.Thread(target=converse, args=(port,))
            client.start()
            server.serve_forever()
    except KeyboardInterrupt:
        client.join()
        print("interrupted")
    """
    converse = """
def converse(port):
    ws = connect("ws://127.0.0.1:%d/" % port, proxy=None)
    talk(ws)
    os.kill(os.getpid(), signal.SIGINT)
    ws.wait_closed()
    print(ws.close_code)
"""
    done = run("unused", converse + textwrap.dedent(code))
    assert done == (0, "1001\ninterrupted\n", "")


def test_many_threads_come_and_go(url: str) -> None:
    """Conversations of many threads at once; afterwards no thread, descriptor or octet is left."""
    with connect(url, proxy=None) as ws:
        ws.send("the first starts what lasts")
        ws.recv()
    time.sleep(0.05)
    before = threading.active_count(), descriptors(), accounts().connections
    failures: list[BaseException] = []

    def converse(name: str) -> None:
        try:
            for _ in range(3):
                with connect(url, proxy=None, open_timeout=30) as ws:
                    for number in range(20):
                        ws.send(f"{name} {number}")
                        assert ws.recv(timeout=30) == f"{name} {number}"
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=converse, args=(str(number),)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    deadline = time.monotonic() + 10
    while (threading.active_count(), descriptors(), accounts().connections) > before:
        # The resolver's pool has threads that stay.
        left = [each for each in threading.enumerate() if each.name.startswith("asyncio_")]
        now = threading.active_count() - len(left)
        if now <= before[0] and descriptors() <= before[1]:
            break
        assert time.monotonic() < deadline, threading.enumerate()
        time.sleep(0.02)
