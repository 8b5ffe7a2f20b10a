"""``duologue bench`` from its arguments to its picture, against echoes of every kind."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import time

import pytest

from duologue.cli import bench

from . import echoes
from .echoes import Echo, serving

COMMAND = [sys.executable, "-m", "duologue", "bench", "--proxy", "none"]


def run(*words: str) -> int:
    parser = argparse.ArgumentParser(prog="duologue")
    bench.add_parser(parser.add_subparsers())
    arguments = parser.parse_args(["bench", "--proxy", "none", *words])
    return bench.run(arguments)


def load(url: str, *words: str, code: int = 0) -> dict:
    """Runs the command; returns what it writes as JSON."""
    with contextlib.redirect_stdout(io.StringIO()) as written:
        assert run(url, *words, "--json", "-") == code, written.getvalue()
    return json.loads(written.getvalue())


class TestLoad:
    def test_messages_are_sent_answered_and_counted(self):
        echo = Echo()
        with serving(echo) as url:
            found = load(url, "-n", "500", "-c", "7")
        assert found["sent"] == found["answered"] == found["latency"]["count"] == 500
        assert len(echo.messages) == 500 + 1  # and the probe's
        assert len(echo.heads) == 7 + 2
        assert found["errors"]["total"] == 0
        assert all(len(message) == 32 for message in echo.messages[1:])
        percentiles = list(found["latency"]["percentiles"].values())
        assert percentiles == sorted(percentiles)
        assert 0 < found["latency"]["min"] <= percentiles[0]
        assert percentiles[-1] <= found["latency"]["max"] < 20

    def test_every_message_is_another(self):
        echo = Echo()
        with serving(echo) as url:
            load(url, "-n", "100", "-c", "5", "--processes", "2", "-s", "8", "--in-flight", "2")
        assert len(set(echo.messages[1:])) == len(echo.messages[1:]) == 100

    def test_answers_that_go_to_the_wrong_connection(self):
        class Crosses(Echo):
            def __init__(self):
                super().__init__()
                self.held = None

            def answer(self, ws, message):
                if len(self.messages) == 1:
                    ws.send(message)
                elif self.held is None:
                    self.held = (ws, message)
                else:
                    (other, text), self.held = self.held, None
                    ws.send(text)
                    other.send(message)

        with serving(Crosses()) as url:
            found = load(url, "-n", "40", "-c", "2", code=1)
        assert found["errors"]["different"] == 40

    def test_duration(self):
        with serving(Echo()) as url:
            found = load(url, "-d", "0.6", "-c", "2")
        assert 0.6 <= found["seconds"] < 1.5
        assert found["sent"] == found["answered"] > 50
        assert found["messages_per_second"] == pytest.approx(
            found["answered"] / found["seconds"], rel=0.05
        )

    @pytest.mark.parametrize(("words", "kind"), [(["--binary"], bytes), (["--text"], str)])
    @pytest.mark.parametrize("size", [0, 7, 8, 100_000])
    def test_kinds_and_sizes(self, words, kind, size):
        echo = Echo()
        with serving(echo) as url:
            found = load(url, "-n", "20", "-s", str(size), *words)
        assert found["answered"] == 20
        assert {(type(one), len(one)) for one in echo.messages[1:]} == {(kind, size)}

    def test_payload(self, tmp_path):
        path = tmp_path / "payload"
        path.write_text("zwölf Boxkämpfer")
        echo = Echo()
        with serving(echo) as url:
            found = load(url, "-n", "20", "--payload", str(path))
            assert found["answered"] == 20
            assert set(echo.messages) == {"zwölf Boxkämpfer"}
            path.write_bytes(b"\xff\x00")
            load(url, "-n", "20", "--payload", str(path), "--binary")
            assert echo.messages[-1] == b"\xff\x00"
            with pytest.raises(bench.Failure, match="is not UTF-8"):
                run(url, "--payload", str(path))

    def test_in_flight(self):
        held: list[int] = []

        class Waits(Echo):
            def answer(self, ws, message):
                if len(self.messages) == 1:
                    ws.send(message)
                    return
                self.unanswered += 1
                held.append(self.unanswered)
                if self.unanswered == 6:
                    for one in self.messages[-6:]:
                        ws.send(one)
                    self.unanswered = 0

        with serving(Waits()) as url:
            load(url, "-n", "60", "-c", "1", "--in-flight", "6")
        assert max(held) == 6

    def test_processes_share_everything(self):
        echo = Echo()
        with serving(echo) as url:
            found = load(url, "-n", "301", "-c", "5", "--processes", "2")
        assert found["answered"] == 301
        assert found["plan"]["processes"] == 2
        assert found["opening"]["count"] == 5

    def test_ramp(self):
        echo = Echo()
        with serving(echo) as url:
            load(url, "-n", "10", "-c", "6", "--ramp", "20")
        opened = echo.opened[2:]
        assert opened[-1] - opened[0] >= 5 / 20 - 0.05

    def test_warm_up_is_not_counted(self):
        echo = Echo()
        with serving(echo) as url:
            found = load(url, "-n", "40", "--warm-up", "0.3")
        assert found["sent"] == found["answered"] == found["latency"]["count"] == 40
        assert len(echo.messages) > 100

    def test_compression(self):
        echo = Echo()
        with serving(echo) as url:
            load(url, "-n", "10", "--compression")
            load(url, "-n", "10")
        heads = ["Sec-WebSocket-Extensions" in head.headers for head in echo.heads]
        assert heads == [True] * 12 + [False] * 12

    def test_whichever_ends_first(self):
        with serving(Echo()) as url:
            few = load(url, "-n", "20", "-d", "30")
            brief = load(url, "-n", "100000000", "-d", "0.3")
        assert few["sent"] == 20 and few["seconds"] < 10
        assert brief["sent"] < 100_000_000 and brief["seconds"] < 10


class TestOpenLoop:
    def test_the_rate_is_kept(self):
        echo = Echo()
        with serving(echo) as url:
            found = load(url, "--rate", "200", "-d", "1", "-c", "4")
        assert found["sent"] == found["answered"] == 200
        assert found["lateness"]["count"] == 200
        assert echo.times[-1] - echo.times[1] == pytest.approx(199 / 200, abs=0.5)

    def test_a_stall_is_seen_by_all_who_would_have_come(self):
        """Half a second's messages are late, not one of each connection."""
        with serving(echoes.Stalls()) as url:
            found = load(url, "--rate", "400", "-d", "1.5", "-c", "2")
        assert found["answered"] == 600
        # 200 of 600 came while it stood still, a quarter of which had 0.25 s and more to go.
        assert found["latency"]["percentiles"]["75"] > 0.05
        assert found["latency"]["percentiles"]["90"] > 0.25
        assert found["latency"]["max"] > 0.45

    def test_what_cannot_be_sent_is_told(self):
        class Slow(Echo):
            def answer(self, ws, message):
                if len(self.messages) > 1:
                    time.sleep(0.02)
                ws.send(message)

        with serving(Slow()) as url:
            # 8 MiB at a time: of 1 MiB each, eight may be unanswered.
            found = load(url, "--rate", "200", "-d", "0.5", "-c", "1", "-s", "1000000")
        assert found["unsent"] > 0
        assert found["sent"] == found["answered"] < 100
        assert found["sent"] + found["unsent"] == pytest.approx(100, abs=1)


class TestErrors:
    @pytest.mark.parametrize(
        ("kind", "name", "words"),
        [
            (echoes.Changes, "different", "came back as"),
            (echoes.Repeats, "unasked", "a second answer"),
            (echoes.Leaves, "lost", "closed with 1013 too much"),
        ],
    )
    def test_each_kind_is_counted(self, kind, name, words):
        with serving(kind()) as url:
            found = load(url, "-n", "55", "-c", "1", "-s", "20", code=1)
        assert found["errors"][name] >= 1
        assert words in found["examples"][0]

    def test_changed_answers_are_counted_exactly(self):
        with serving(echoes.Changes()) as url:
            found = load(url, "-n", "95", "-c", "3", code=1)
        assert found["errors"]["different"] == found["errors"]["total"] == 9
        assert found["answered"] == 95 - 9

    def test_wrong_order(self):
        with serving(echoes.Swaps()) as url:
            found = load(url, "-n", "40", "-c", "2", "--in-flight", "2", code=1)
        assert found["errors"]["disordered"] == found["errors"]["total"] == 20
        assert "out of order" in found["examples"][0]

    def test_messages_without_an_answer(self):
        with serving(echoes.Drops()) as url:
            found = load(url, "-d", "0.5", "-c", "2", code=1)
        assert found["errors"]["unanswered"] == 2
        assert found["sent"] == found["answered"] + 2

    @pytest.mark.parametrize("words", [[], ["--rate", "100"]])
    def test_a_server_that_stops_answering_does_not_hold_us_up(self, words):
        class Stops(Echo):
            def answer(self, ws, message):
                if len(self.messages) < 10:
                    ws.send(message)

        before = time.monotonic()
        with serving(Stops()) as url:
            found = load(url, "-n", "30", "-c", "3", *words, code=1)
        assert time.monotonic() - before < 25
        assert found["answered"] == 8
        assert found["errors"]["unanswered"] == found["sent"] - 8 > 0

    def test_connections_that_cannot_be_opened(self):
        class Full(Echo):
            def on_open(self, ws):
                super().on_open(ws)
                if len(self.heads) > 4:
                    ws.transport.abort()

        with serving(Full()) as url:
            found = load(url, "-n", "20", "-c", "5", code=1)
        assert found["errors"]["lost"] == 3
        assert found["answered"] + found["errors"]["unanswered"] == found["sent"]


class TestWhatDoesNotEcho:
    @pytest.mark.parametrize(
        ("kind", "words"),
        [
            (echoes.Mute, "no answer within 0.3 s"),
            (echoes.Answers, "'duologue bench' was answered with 'thanks'"),
            (echoes.Closes, r"closed the connection after a message: received 1008"),
        ],
    )
    def test_it_is_said_clearly(self, kind, words, monkeypatch):
        monkeypatch.setattr("duologue.cli.bench.probing.PATIENCE", 0.3)
        with serving(kind()) as url:
            with pytest.raises(bench.Failure) as caught:
                run(url)
        assert "does not echo, so there is nothing to measure" in str(caught.value)
        assert words in str(caught.value)

    def test_a_chat_is_left_alone(self):
        class Room(Echo):
            def __init__(self):
                super().__init__()
                self.everybody = []

            def on_open(self, ws):
                super().on_open(ws)
                self.everybody.append(ws)

            def answer(self, ws, message):
                for one in self.everybody:
                    one.send(message)

        room = Room()
        with serving(room) as url:
            with pytest.raises(bench.Failure, match="sends messages to other connections too"):
                run(url)
        assert len(room.messages) == 1

    def test_a_greeting_is_no_echo_and_no_error(self):
        with serving(echoes.Greets()) as url:
            found = load(url, "-n", "50", "-c", "3")
        assert found["answered"] == 50
        assert found["errors"]["total"] == 0

    def test_nobody_there(self):
        with serving(Echo()) as url:
            pass
        with pytest.raises(bench.Failure, match=r"cannot connect to ws://.*refused"):
            run(url)


class TestTheWay:
    """Options of the connection: each changes what the server, or the proxy, gets to see."""

    def test_the_request(self):
        echo = Echo()
        words = ("-H", "X-Key: 7", "-o", "https://a.example", "--auth", "ann:secret")
        with serving(echo, subprotocols=["b"]) as url:
            load(url, "-n", "4", "-c", "2", *words, "--subprotocol", "a,b")
            with pytest.raises(bench.Failure, match="missing subprotocol"):
                run(url, *words)
        assert len(echo.heads) == 2 + 2
        for head in echo.heads:
            assert head.headers["X-Key"] == "7"
            assert head.headers["Origin"] == "https://a.example"
            assert head.headers["Authorization"] == "Basic YW5uOnNlY3JldA=="
            assert head.headers["Sec-WebSocket-Protocol"] == "a, b"

    def test_authorities(self, certificate):
        with serving(Echo(), ssl=secured(certificate)) as url:
            with pytest.raises(bench.Failure, match="certificate can't be trusted"):
                run(url)
            assert load(url, "-n", "4", "--ca", certificate.authority)["answered"] == 4
            assert load(url, "-n", "4", "-k")["answered"] == 4

    def test_a_certificate_of_the_client(self, certificate):
        context = secured(certificate)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(certificate.authority)
        with serving(Echo(), ssl=context) as url:
            with pytest.raises(bench.Failure):
                run(url, "-k")
            words = ("-k", "--cert", certificate.chain, "--key", certificate.key)
            assert load(url, "-n", "4", *words)["answered"] == 4

    def test_a_password_in_the_url_is_used_and_not_shown(self, capsys):
        echo = Echo()
        with serving(echo) as url:
            url = url.replace("://", "://ann:secret@")
            assert load(url, "-n", "4")["url"] == url.replace("secret", "***")
            assert run(url, "-n", "4") == 0
        assert "secret" not in capsys.readouterr().out
        assert echo.heads[-1].headers["Authorization"] == "Basic YW5uOnNlY3JldA=="

    def test_a_proxy(self):
        with serving(Echo()) as url, echoes.proxying() as proxy:
            assert load(url, "-n", "4", "-c", "2", "--proxy", proxy.url)["answered"] == 4
        assert proxy.tunnels == 2 + 2


def secured(certificate) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.both)
    return context


class TestUsage:
    @pytest.mark.parametrize(
        "words",
        [
            ["http://127.0.0.1/"],
            ["ws://127.0.0.1/", "-c", "0"],
            ["ws://127.0.0.1/", "-d", "0"],
            ["ws://127.0.0.1/", "--rate", "0"],
            ["ws://127.0.0.1/", "--rate", "nan"],
            ["ws://127.0.0.1/", "-s", "-1"],
            ["ws://127.0.0.1/", "--rate", "5", "--in-flight", "2"],
            ["ws://127.0.0.1/", "--text", "--binary"],
            ["ws://127.0.0.1/", "--payload", "x", "-s", "5"],
            ["ws://127.0.0.1/", "--key", "x"],
            ["ws://127.0.0.1/", "-H", "x"],
        ],
    )
    def test_wrong_usage_is_2(self, words, capsys):
        with pytest.raises(SystemExit) as caught:
            run(*words)
        assert caught.value.code == 2
        assert "usage: duologue bench" in capsys.readouterr().err

    def test_a_file_that_is_not_there(self):
        with pytest.raises(bench.Failure, match="cannot read"):
            run("ws://127.0.0.1:1/", "--payload", "/no/such/file")


class TestOutput:
    def test_the_picture(self):
        with serving(Echo(), server_header="Me/1") as url:
            done = subprocess.run(
                [*COMMAND, url, "-n", "300"],
                capture_output=True,
                encoding="utf-8",
                env={"PYTHONIOENCODING": "utf-8"},
            )
        lines = done.stdout.splitlines()
        assert lines[0] == (
            f"{url}: 10 connections, closed loop with 1 in flight, 300 messages, 32 bytes of text"
        )
        assert lines[1] == "served by Me/1"
        assert lines[2].startswith("messages     300 answered in ")
        assert any(line.strip().startswith("99.9 %") and "█" in line for line in lines)
        assert lines[-1].startswith("errors       none")
        assert done.stderr == ""

    def test_ascii(self):
        with serving(Echo()) as url:
            done = subprocess.run(
                [*COMMAND, url, "-n", "300"],
                capture_output=True,
                env={"PYTHONIOENCODING": "ascii"},
            )
        assert b"####" in done.stdout
        assert b"\\u" not in done.stdout and b"\\x" not in done.stdout

    def test_progress_on_a_terminal(self):
        pty = pytest.importorskip("pty")
        ours, theirs = pty.openpty()
        with serving(Echo()) as url:
            process = subprocess.Popen(
                [*COMMAND, url, "-d", "1", "--warm-up", "0.5"],
                stdout=subprocess.DEVNULL,
                stderr=theirs,
            )
            os.close(theirs)
            shown = b""
            with contextlib.suppress(OSError):  # how the end of a terminal reads
                while octets := os.read(ours, 4096):
                    shown += octets
            os.close(ours)
            assert process.wait(20) == 0
        lines = shown.decode().split("\r")
        assert any(re.match(r"warming up +\d.\d s  10 open  ", one) for one in lines)
        live = [one for one in lines if one.startswith("measuring")]
        assert len(live) >= 2
        pattern = r"measuring +\d.\d s  10 open  [\d,]+ messages/s  median .+, 99 % .+s *$"
        assert any(re.match(pattern, one) and " 0 messages/s" not in one for one in live)
        assert lines[-2].strip() == lines[-1] == ""

    def test_json_into_a_file(self, tmp_path):
        with serving(Echo()) as url:
            done = subprocess.run(
                [*COMMAND, url, "-n", "30", "--json", str(tmp_path / "result.json")],
                capture_output=True,
            )
        assert b"messages     30 answered" in done.stdout
        assert json.loads((tmp_path / "result.json").read_text())["answered"] == 30

    def test_a_file_that_cannot_be_written_is_told_before_the_test(self, tmp_path):
        with pytest.raises(bench.Failure, match="cannot write"):
            run("ws://127.0.0.1:1/", "--json", str(tmp_path / "none" / "result.json"))

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_ctrl_c_prints_what_there_is(self, number):
        echo = Echo()
        with serving(echo) as url:
            process = subprocess.Popen(
                [*COMMAND, url, "-d", "60"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            deadline = time.monotonic() + 20
            while len(echo.messages) < 200 and time.monotonic() < deadline:
                time.sleep(0.01)
            process.send_signal(number)
            out, err = process.communicate(timeout=20)
        assert b"ended early" in out
        assert b"99.99 %" in out
        assert err == b""
        assert process.returncode == 0

    def test_a_second_ctrl_c_waits_for_no_answers(self):
        echo = echoes.Drops()
        with serving(echo) as url:
            process = subprocess.Popen(
                [*COMMAND, url, "-d", "60"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            deadline = time.monotonic() + 20
            while len(echo.messages) < 30 and time.monotonic() < deadline:
                time.sleep(0.01)
            before = time.monotonic()
            process.send_signal(signal.SIGINT)
            time.sleep(0.6)  # more than the signal takes to be seen, less than answers are awaited
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=20)
        assert time.monotonic() - before < 4
        assert b"ended early" in out
