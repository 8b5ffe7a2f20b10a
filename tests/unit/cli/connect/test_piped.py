from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time

import pytest

COMMAND = [sys.executable, "-m", "duologue"]

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX only")


def test_waits_for_the_answer(run, serving):
    with serving() as url:
        result = run("connect", url, input=b"hi\n")
    assert (result.returncode, result.stdout) == (0, b"hi\n")
    assert result.stderr == b"duologue: closed: 1000 (OK)\n"


def test_each_line_is_a_message(run, serving):
    heard = []

    def handler(websocket):
        heard.extend(websocket)

    with serving(handler) as url:
        result = run("connect", url, input="one\r\n\nzwölf\n last".encode())
    assert result.returncode == 0
    assert heard == ["one", "", "zwölf", " last"]


def test_answers_that_come_late(run, serving):
    def handler(websocket):
        for message in websocket:
            for number in range(3):
                time.sleep(0.45)  # below SILENCE, and all three together above it
                websocket.send(f"{message} {number}")

    with serving(handler) as url:
        result = run("connect", url, input=b"answer\n")
    assert result.stdout == b"answer 0\nanswer 1\nanswer 2\n"
    assert result.returncode == 0


HASTY = """
import sys
from duologue.cli import main
from duologue.cli.connect import talk
assert talk.PATIENCE == 10
talk.PATIENCE = 2.5
sys.exit(main())
"""


def test_a_server_that_never_falls_silent(serving):
    def handler(websocket):
        with contextlib.suppress(Exception):
            while True:
                websocket.send("tick")
                time.sleep(0.05)

    with serving(handler) as url:
        before = time.monotonic()
        command = [sys.executable, "-c", HASTY, "connect", url]
        result = subprocess.run(command, input=b"", capture_output=True, timeout=30)
        assert time.monotonic() - before > 2.5
    assert result.returncode == 0


def test_much_input(run, serving):
    lines = b"".join(b"%d %s\n" % (number, b"x" * 1000) for number in range(3000))
    with serving() as url:
        result = run("connect", url, input=lines)
    assert result.stdout == lines
    assert result.returncode == 0


def test_binary_is_shown_as_digits_behind_a_mark(run, serving):
    def handler(websocket):
        websocket.send(b"\x00\xffA")
        websocket.send("0ff")

    with serving(handler) as url:
        result = run("connect", url)
    assert result.stdout == b"(binary) 00ff41\n0ff\n"


def test_text_comes_out_as_it_is(run, serving):
    with serving(lambda websocket: websocket.send("\x1b[31mred\nline")) as url:
        result = run("connect", url)
    assert result.stdout == b"\x1b[31mred\nline\n"


def test_a_line_that_is_no_text_is_named_and_the_others_are_sent(run, serving):
    with serving() as url:
        result = run("connect", url, input=b"good\n\xff\nbetter\n")
    assert result.stdout == b"good\nbetter\n"
    assert b"duologue: line 2 is not UTF-8 and was not sent" in result.stderr


def test_messages_may_have_16_mib(run, serving):
    with serving(lambda websocket: websocket.send("x" * (1 << 24))) as url:
        result = run("connect", url)
    assert len(result.stdout) == (1 << 24) + 1


@posix
def test_a_reader_that_goes_away_ends_it(serving):
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


def test_input_that_was_not_sent_is_told(serving):
    def handler(websocket):
        websocket.recv()
        websocket.close()

    with (
        serving(handler) as url,
        subprocess.Popen([*COMMAND, url], stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process,
        contextlib.suppress(BrokenPipeError),  # of closing what it did not read
    ):
        with contextlib.suppress(BrokenPipeError):
            while process.poll() is None:
                process.stdin.write(b"more\n" * 10_000)
        assert process.stderr.read().splitlines() == [
            b"duologue: the connection has ended before all of the input was sent",
            b"duologue: closed: 1000 (OK)",
        ]
        assert process.wait(20) == 0


def test_a_pipe_that_brings_nothing_more_is_not_waited_for(serving):
    with (
        serving(lambda websocket: websocket.close()) as url,
        subprocess.Popen([*COMMAND, url], stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process,
    ):
        assert process.wait(20) == 0
        assert process.stderr.read() == b"duologue: closed: 1000 (OK)\n"


def test_an_argument_that_is_no_text(run):
    result = run("connect", "ws://127.0.0.1:1/", "-x", b"\xff")
    assert result.returncode == 2
    assert b"--execute: it is not UTF-8" in result.stderr
