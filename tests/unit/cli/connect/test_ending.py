from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys

import pytest

COMMAND = [sys.executable, "-m", "duologue"]

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX only")


@pytest.mark.parametrize(
    ("code", "reason", "line", "exit_code"),
    [
        (1000, "bye", "1000 (OK) bye", 0),
        (1001, "", "1001 (going away)", 0),
        (1011, "oops", "1011 (internal error) oops", 3),
        (4000, "own\x1b", "4000 (private use) own\\x1b", 3),
    ],
)
def test_code_and_reason_are_told(run, code, reason, line, exit_code, serving):
    with serving(lambda websocket: websocket.close(code, reason)) as url:
        result = run("connect", url)
    assert result.stderr.decode() == f"duologue: closed: {line}\n"
    assert result.returncode == exit_code


def test_what_came_before_the_end_is_printed(run, serving):
    def handler(websocket):
        for number in range(100):
            websocket.send(str(number))
        websocket.close(4001)

    with serving(handler) as url:
        result = run("connect", url, input=b"x\n" * 1000)
    assert result.stdout.split() == [b"%d" % number for number in range(100)]
    assert result.returncode == 3


def test_without_a_goodbye(run, serving):
    def handler(websocket):
        websocket.socket.shutdown(socket.SHUT_RDWR)

    with serving(handler) as url:
        result = run("connect", url)
    assert result.stderr.startswith(b"duologue: closed: 1006 (abnormal closure")
    assert result.returncode == 3


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_with_1001(number, serving):
    codes = []

    def handler(websocket):
        websocket.send("ready")
        with contextlib.suppress(Exception):
            websocket.recv()
        codes.append(websocket.close_code)

    with (
        serving(handler) as url,
        subprocess.Popen([*COMMAND, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process,
    ):
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        assert process.wait(10) == 0
    assert codes == [1001]
