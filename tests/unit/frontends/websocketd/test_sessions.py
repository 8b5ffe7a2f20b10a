"""WebSockets and their programs."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import struct
import sys

import pytest

from duologue.exceptions import ConnectionClosed, InvalidStatus
from duologue.frontends.websocketd import program

PYTHON = sys.executable
PRINT_ENVIRONMENT = ("--", PYTHON, "-c", "import os, json; print(json.dumps(dict(os.environ)))")


async def ending(ws):
    """Everything that comes, and how it ends."""
    found = []
    async with asyncio.timeout(20):
        try:
            while True:
                found.append(await ws.recv())
        except ConnectionClosed:
            return found, ws.close_code, ws.close_reason


def reset(ws):
    """Cut a connection so that the other side hears of it even while it doesn't read."""
    sock = ws.transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    ws.transport.abort()


async def outcome(running, *words, target="/", **options):
    async with running(*words) as server, server.connect(target, **options) as ws:
        return await ending(ws)


class TestLines:
    async def test_there_and_back(self, running):
        async with running("cat") as server, server.connect() as ws:
            for text in ("hello", "", "zwei\nZeilen", "ü" * 200_000):
                await ws.send(text)
                for line in text.split("\n"):
                    assert await ws.recv() == line

    async def test_what_a_program_writes(self, running):
        found = await outcome(running, "printf", r"one\ntwo\r\n\n\377\nrest")
        assert found == (["one", "two", "", "�", "rest"], 1000, "")

    async def test_the_original_loses_the_rest(self, running):
        found = await outcome(running, "--strict-compat", "printf", r"one\nrest")
        assert found == (["one"], 1006, "")

    async def test_in_pieces(self, running):
        script = "for part in o 'ne\\r' '\\ntwo\\nth' ree; do printf $part; sleep 0.05; done"
        found = await outcome(running, "sh", "-c", script)
        assert found == (["one", "two", "three"], 1000, "")

    async def test_many_of_all_sizes(self, running):
        sizes = [1, 0, 70_000, 30, 16_384, 16_383, 65_535, 65_536, 5] * 5
        texts = [chr(65 + number % 26) * size for number, size in enumerate(sizes)]
        async with running("cat") as server, server.connect() as ws:

            async def send():
                for text in texts:
                    await ws.send(text)

            sending = asyncio.create_task(send())
            assert [await ws.recv() for _ in texts] == texts
            await sending

    async def test_a_message_in_fragments(self, running):
        async with running("cat") as server, server.connect() as ws:
            await ws.send("before")
            await ws.send(["frag", "ments"])
            await ws.send("after")
            found = [await ws.recv() for _ in range(3)]
        assert found == ["before", "fragments", "after"]

    async def test_a_line_without_end(self, running):
        words = ("--maxlinesize=1000", "head", "-c", "5000", "/dev/zero")
        found, code, reason = await outcome(running, *words)
        assert (found, code) == ([], 1011)
        assert reason == "a line is longer than 1000 bytes, see --maxlinesize"

    async def test_a_message_of_octets_goes_as_it_is(self, running):
        async with running("cat") as server, server.connect() as ws:
            await ws.send(b"no ")
            await ws.send("end")
            assert await ws.recv() == "no end"

    async def test_too_long_a_message(self, running):
        async with running("--maxframesize=10", "cat") as server, server.connect() as ws:
            await ws.send("x" * 11)
            assert (await ending(ws))[1] == 1009


class TestBinary:
    async def test_there_and_back(self, running):
        async with running("--binary", "cat") as server, server.connect() as ws:
            await ws.send(b"\x00\n\xff")
            assert await ws.recv() == b"\x00\n\xff"
            await ws.send("a line")
            assert await ws.recv() == b"a line\n"

    async def test_all_of_it(self, running):
        found, code, _ = await outcome(running, "--binary", "head", "-c", "300000", "/dev/zero")
        assert b"".join(found) == bytes(300_000) and code == 1000


class TestStandardError:
    SCRIPT = "echo out; echo oops >&2; printf more >&2"

    async def test_it_is_logged(self, running):
        async with running("sh", "-c", self.SCRIPT) as server, server.connect() as ws:
            assert await ending(ws) == (["out"], 1000, "")
            assert "| ERROR  | stderr     | url:" in await server.logged("| oops")
            await server.logged("| more")

    async def test_it_is_passed_on(self, running):
        async with running("--passstderr", "sh", "-c", self.SCRIPT) as server:
            async with server.connect() as ws:
                found, _, _ = await ending(ws)
        assert sorted(found) == [
            '{"stream":"stderr","data":"more"}',
            '{"stream":"stderr","data":"oops"}',
            '{"stream":"stdout","data":"out"}',
        ]

    async def test_a_line_without_end(self, running):
        words = ("sh", "-c", "head -c 100000 /dev/zero | tr '\\0' x >&2; echo done")
        assert await outcome(running, *words) == (["done"], 1000, "")


class TestEnvironment:
    async def test_it(self, running, monkeypatch):
        monkeypatch.setenv("SECRET", "x")
        monkeypatch.setenv("WANTED", "y")
        found, _, _ = await outcome(
            running, "--passenv=WANTED", *PRINT_ENVIRONMENT, target="/a?b=c"
        )
        variables = json.loads(found[0])
        assert "SECRET" not in variables and "PATH" not in variables
        assert variables["WANTED"] == "y"
        assert variables["PATH_INFO"] == "/a" and variables["QUERY_STRING"] == "b=c"
        assert variables["REMOTE_ADDR"] == "127.0.0.1" and variables["REMOTE_PORT"].isdigit()
        assert variables["HTTP_SEC_WEBSOCKET_VERSION"] == "13"

    async def test_it_is_logged(self, running, monkeypatch):
        monkeypatch.setenv("WANTED", "y")
        async with running("--loglevel=debug", "--passenv=WANTED", "true") as server:
            async with server.connect():
                await server.logged("| Parent envvar: WANTED=y")
                await server.logged("| Std. variable: PATH_INFO=/")
                await server.logged("| Header variable HTTP_UPGRADE=websocket")

    async def test_names_of_clients(self, running, monkeypatch):
        monkeypatch.setattr(socket, "getnameinfo", lambda name, flags: ("a.example", str(flags)))
        script = ("--", "sh", "-c", "echo $REMOTE_HOST")
        assert (await outcome(running, *script))[0] == ["127.0.0.1"]
        found, _, _ = await outcome(running, "--reverselookup", *script)
        assert found == ["a.example"]

    async def test_scripts_of_a_directory(self, running, tmp_path):
        script = tmp_path / "tool"
        script.write_text('#!/bin/sh\necho "$SCRIPT_NAME $PATH_INFO"\n')
        script.chmod(0o755)
        (tmp_path / "text").write_text("no program")
        async with running(f"--dir={tmp_path}") as server:
            async with server.connect("/tool/x") as ws:
                assert await ws.recv() == "/tool /x"
            async with server.connect("/text") as ws:
                assert (await ending(ws))[1:] == (1011, "the program could not be started")
            with pytest.raises(InvalidStatus) as refused:
                await server.connect("/none")
        assert refused.value.response.status_code == 404
        assert refused.value.response.body == b"404 Not Found\n"


class TestEndings:
    @pytest.mark.parametrize(
        ("script", "code", "reason"),
        [
            ("exit 0", 1000, ""),
            ("exit 7", 1011, "exit status 7"),
            ("kill -TERM $$", 1011, "signal: SIGTERM"),
        ],
    )
    async def test_the_exit_status_is_told(self, running, script, code, reason):
        assert await outcome(running, "sh", "-c", script) == ([], code, reason)

    async def test_the_original_tells_nothing(self, running):
        assert await outcome(running, "--strict-compat", "sh", "-c", "exit 7") == ([], 1006, "")

    @pytest.mark.parametrize(
        ("traps", "how"),
        [
            ("USR1", "stdin was closed"),
            ("USR1", "SIGINT"),
            ("INT", "SIGTERM"),
            ("INT TERM", "no"),
        ],
    )
    async def test_a_program_is_ended(self, running, gone, monkeypatch, traps, how):
        # Patient with the step that is to do it, and with no other.
        names = {None: "stdin was closed", signal.SIGINT: "SIGINT", signal.SIGTERM: "SIGTERM"}
        steps = [(number, 20.0 if names[number] == how else 0.05) for number, _ in program.STEPS]
        monkeypatch.setattr(program, "STEPS", steps)
        script = f"trap '' {traps}; echo $$; while :; do sleep 0.05; done"
        if how == "stdin was closed":
            script = "echo $$; while read x; do :; done"
        async with running("--loglevel=debug", "sh", "-c", script) as server:
            async with server.connect() as ws:
                pid = int(await ws.recv())
            await gone(pid)
            if how != "no":
                await server.logged(f"Process {pid} terminated after {how}")
            await server.logged("| DISCONNECT")

    async def test_time_to_end(self, running):
        script = "while read x; do :; done; sleep 0.4; echo late >&2; echo later >&2"
        words = ("--closems=8000", "sh", "-c", script)
        async with running(*words) as server:
            async with server.connect():
                pass
            await server.logged("| later")

    async def test_children_end_with_it(self, running, gone):
        script = "sleep 1000 & echo $!; cat"
        async with running("sh", "-c", script) as server:
            async with server.connect() as ws:
                child = int(await ws.recv())
            await gone(child)

    async def test_children_of_one_that_was_killed(self, running, gone):
        script = "sleep 1000 & echo $! $$; cat"
        async with running("sh", "-c", script) as server, server.connect() as ws:
            child, leader = map(int, (await ws.recv()).split())
            os.kill(leader, signal.SIGKILL)
            assert await ending(ws) == ([], 1011, "signal: SIGKILL")
            await gone(child)

    @pytest.mark.parametrize("lacking", [["pidfd_open"], ["pidfd_open", "waitid"]])
    async def test_without_descriptors_of_processes(self, running, gone, monkeypatch, lacking):
        for name in lacking:
            monkeypatch.delattr(os, name)
        async with running("sh", "-c", "echo $$; read x; exit $x") as server:
            async with server.connect() as ws:
                pid = int(await ws.recv())
                await ws.send("5")
                assert await ending(ws) == ([], 1011, "exit status 5")
            await gone(pid)
        script = "sleep 1000 & echo $! $$; cat"
        async with running("sh", "-c", script) as server, server.connect() as ws:
            child, leader = map(int, (await ws.recv()).split())
            os.kill(leader, signal.SIGKILL)
            assert await ending(ws) == ([], 1011, "signal: SIGKILL")
            await gone(child)

    async def test_the_hook_hears_of_it(self, running):
        hook = (
            """sh -c 'echo $WEBSOCKET_CLOSE_CODE $WEBSOCKET_CLOSE_REASON. $WEBSOCKET_EXIT_STATUS'"""
        )
        async with running(f"--exithook={hook}", "cat") as server:
            async with server.connect() as ws:
                await ws.send("x")
                await ws.recv()
                await ws.close(4001, "enough")
            await server.logged("| 4001 enough. 0")


class TestBounds:
    async def test_forks(self, running):
        async with running("--maxforks=1", "cat") as server:
            async with server.connect() as ws:
                with pytest.raises(InvalidStatus) as refused:
                    await server.connect()
                await ws.send("x")
                assert await ws.recv() == "x"
            assert refused.value.response.status_code == 429
            assert refused.value.response.body == b"429 Too Many Requests\n"
            await server.logged("| DISCONNECT")
            async with server.connect() as ws:
                await ws.send("x")
                assert await ws.recv() == "x"

    async def test_a_program_that_floods_waits(self, running):
        async with running("yes") as server, server.connect(max_queue=1) as ws:
            assert [await ws.recv() for _ in range(2000)] == ["y"] * 2000

    async def test_a_program_that_never_reads(self, running):
        async with running("--binary", "sleep", "1000") as server:
            async with server.connect(engine="asyncio") as ws:
                sent = 0
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(1):
                        while True:
                            await ws.send(bytes(100_000))
                            sent += 100_000
                assert sent < 40_000_000
                reset(ws)

    async def test_none_is_lost_on_the_way_to_a_slow_client(self, running):
        async with running("seq", "1", "200000") as server:
            async with server.connect(max_queue=1) as ws:
                await asyncio.sleep(0.3)
                found, code, _ = await ending(ws)
        assert found == list(map(str, range(1, 200_001))) and code == 1000

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells before all is read")
    @pytest.mark.parametrize("option", ["--restart=never", "--share"])
    async def test_a_client_that_leaves_while_nothing_is_read(self, running, option):
        words = ("--maxframesize=200000", option, "sleep", "1000")
        async with running(*words) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(
                b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            )
            async with asyncio.timeout(20):
                await reader.readuntil(b"\r\n\r\n")
            # More than the pipe and the messages that may wait, less than the system keeps.
            frame = b"\x81\xfe\x20\x00" + bytes(4) + b"x" * 8192
            writer.write(frame * 40)
            writer.write_eof()
            await server.logged("| DISCONNECT")
            writer.close()

    async def test_rate(self, running):
        async with running("--rate=20", "cat") as server, server.connect() as ws:
            loop = asyncio.get_running_loop()
            began = loop.time()
            for number in range(30):
                await ws.send(str(number))
            assert [await ws.recv() for _ in range(30)] == list(map(str, range(30)))
            assert loop.time() - began > 0.3

    async def test_pings_that_nobody_answers(self, running):
        async with running("--pingms=100", "cat") as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(
                b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            )
            async with asyncio.timeout(20):
                octets = await reader.readuntil(b"\x03\xf3")
            assert b"\r\n\r\n\x89" in octets
            writer.transport.abort()

    async def test_all_is_taken_of_a_client_that_left(self, running, tmp_path):
        script = "while read x; do sleep 0.02; echo $x >> $0/found; done"
        async with running("--closems=8000", "sh", "-c", script, str(tmp_path)) as server:
            async with server.connect() as ws:
                for number in range(15):
                    await ws.send(str(number))
            await server.logged("| DISCONNECT")
        assert (tmp_path / "found").read_text().split() == [str(n) for n in range(15)]


class TestRestart:
    async def test_the_client_stays(self, running):
        async with running("--restart=always", "sh", "-c", "read x; echo $x") as server:
            async with server.connect() as ws:
                await ws.send("one")
                assert await ws.recv() == "one"
                await server.logged("Starting it again in 0.5 s")
                await ws.send("two")
                assert await ws.recv() == "two"

    async def test_on_failure_only(self, running):
        words = ("--restart=on-failure", "sh", "-c", "read x; exit $x")
        async with running(*words) as server, server.connect() as ws:
            await ws.send("3")
            await server.logged("Starting it again in 0.5 s")
            await ws.send("0")
            assert await ending(ws) == ([], 1000, "")

    # Ends as soon as there is something to read, and doesn't read it.
    UNREAD = (PYTHON, "-c", "import select; select.select([0], [], [])")

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what lies in a pipe")
    @pytest.mark.parametrize("option", ["--restart=always", "--share", "--restart=never"])
    async def test_what_a_program_leaves_is_told(self, running, option):
        async with running(option, *self.UNREAD) as server, server.connect() as ws:
            await ws.send("four")
            line = await server.logged("bytes of its input unread")
            assert "| INFO   | process" in line
            assert "has left 5 bytes" in line

    async def test_what_a_program_refuses_is_told_once(self, running):
        words = ("sh", "-c", "exec <&-; echo; exec sleep 1000")
        async with running("--loglevel=debug", *words) as server, server.connect() as ws:
            await ws.recv()
            await ws.send("one")
            line = await server.logged("a message is dropped")
            assert "| INFO   | process" in line
            await ws.send("two")
            await server.logged("| DEBUG  | process    ", "a message is dropped")


class TestShare:
    async def test_to_everyone(self, running):
        async with running("--share", "cat") as server:
            async with server.connect() as one, server.connect() as two:
                await one.send("hello")
                assert await one.recv() == await two.recv() == "hello"
                await two.send("again")
                assert await one.recv() == await two.recv() == "again"
                await one.send(b"octets")
                assert (await ending(one))[1] == 1003
                assert server.site.running == 0

    async def test_it_is_one_program_whoever_joins(self, running, tmp_path):
        script = tmp_path / "t.sh"
        script.write_text("#!/bin/sh\nprintf 'Content-Type: text/x\\n\\n'\n")
        script.chmod(0o755)
        words = ("--share", "--maxforks=1", f"--cgidir={tmp_path}", "cat")
        async with running(*words) as server:
            assert (await server.get("/t.sh"))[0] == 200
            async with server.connect() as one, server.connect() as two:
                await one.send("hello")
                assert await two.recv() == "hello"
                assert (await server.get("/t.sh"))[0] == 429
            await server.logged("| DISCONNECT")
            # It lives on.
            assert (await server.get("/t.sh"))[0] == 429
        async with running(*words) as server:
            server.site.running += 1
            with pytest.raises(InvalidStatus) as refused:
                await server.connect()
            server.site.running -= 1
            assert refused.value.response.status_code == 429
            async with server.connect() as ws:
                await ws.send("x")
                assert await ws.recv() == "x"

    async def test_tagged(self, running):
        script = (
            "import sys\n"
            "for line in sys.stdin:\n"
            "    tag, text = line.rstrip().split('\\t')\n"
            "    print(f'{tag}\\tyou: {text}\\n*\\t{tag} says {text}', flush=True)\n"
        )
        async with running("--share", "--shareformat=tagged", PYTHON, "-c", script) as server:
            async with server.connect() as one, server.connect() as two:
                await two.send("x")
                assert [await two.recv(), await two.recv()] == ["you: x", "2 says x"]
                assert await one.recv() == "2 says x"

    async def test_json(self, running):
        script = (
            "import sys, json\n"
            "for line in sys.stdin:\n"
            "    event = json.loads(line)\n"
            "    if event.get('data') == 'bye':\n"
            "        order = {'close': event['client'], 'code': 4002, 'reason': 'as you wish'}\n"
            "    elif event['event'] == 'message':\n"
            "        order = {'to': event['client'], 'data': {'echo': event['data']}}\n"
            "    else:\n"
            "        order = {'data': line.strip()}\n"
            "    print(json.dumps(order), flush=True)\n"
        )
        async with running("--share", "--shareformat=json", PYTHON, "-c", script) as server:
            async with server.connect("/p?q") as one:
                opened = json.loads(await one.recv())
                expected = {"event": "open", "client": 1, "path": "/p", "query": "q"}
                assert opened == {**expected, "origin": None}
                async with server.connect() as two:
                    await two.recv()
                    await two.send("x")
                    assert json.loads(await two.recv()) == {"echo": "x"}
                    await two.send("bye")
                    assert await ending(two) == ([], 4002, "as you wish")
                assert json.loads(await one.recv())["event"] == "open"
                closed = json.loads(await one.recv())
                assert (closed["event"], closed["client"], closed["code"]) == ("close", 2, 4002)

    async def test_its_end_is_everybodys(self, running):
        async with running("--share", "sh", "-c", "read x; exit 4") as server:
            async with server.connect() as one, server.connect() as two:
                await one.send("end")
                for ws in (one, two):
                    assert await ending(ws) == ([], 1011, "exit status 4")

    async def test_again(self, running):
        words = ("--share", "--restart=always", "sh", "-c", "read x; echo $x")
        async with running(*words) as server, server.connect() as ws:
            await ws.send("one")
            assert await ws.recv() == "one"
            await server.logged("Starting it again in 0.5 s")
            await ws.send("two")
            assert await ws.recv() == "two"

    async def test_who_comes_after_its_end_starts_it_anew(self, running):
        async with running("--share", "sh", "-c", "read x; echo $x; exit 4") as server:
            # Doesn't answer the Close frame, which nobody else has to wait for.
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            lines = ["GET / HTTP/1.1", f"Host: 127.0.0.1:{server.port}", "Upgrade: websocket"]
            lines += ["Connection: Upgrade", "Sec-WebSocket-Version: 13"]
            lines += ["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "", ""]
            writer.write("\r\n".join(lines).encode() + b"\x81\x81\0\0\0\0x")
            async with asyncio.timeout(20):
                await reader.readuntil(b"\x81\x01x\x88\x0f\x03\xf3exit status 4")
                async with server.connect() as ws:
                    await ws.send("again")
                    assert await ending(ws) == (["again"], 1011, "exit status 4")
            writer.close()
            await writer.wait_closed()

    async def test_a_program_that_never_reads(self, running):
        async with running("--share", "--shareformat=json", "sleep", "1000") as server:
            async with server.connect(engine="asyncio") as ws:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(1):
                        while True:
                            await ws.send("x" * 100_000)
                reset(ws)
            await server.logged("It reads nothing: not told that 1 has left")
            await server.logged("| DISCONNECT")
