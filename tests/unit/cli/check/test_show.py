"""What is printed, and the command line around it."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import subprocess
import sys
import threading

import pytest

from duologue.cli import check
from duologue.cli.check import show
from duologue.cli.check.arguments import make_plan, read_proxy
from duologue.cli.check.findings import Finding, Report, Verdict
from duologue.cli.connect import options
from duologue.uri import parse_uri

from .faulty import Faulty, serving
from .test_visit import NeverPongs, Silent


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="duologue")
    options.declare(parser)
    check.add_arguments(parser)
    parsed = parser.parse_args([*words, "--check", "--proxy", "none"])
    parsed.parser = parser
    return parsed


class TestLine:
    def test_what_a_server_says_can_play_no_tricks(self):
        found = Finding("handshake", Verdict.OK, "Server: \x1b]0;title\x07")
        assert show.line(found).endswith(r"Server: \x1b]0;title\x07")

    @pytest.mark.parametrize(
        ("seconds", "shown"),
        [(None, "          "), (0.0123, "   12.3 ms"), (1.5, "    1.50 s")],
    )
    def test_times(self, seconds, shown):
        line = show.line(Finding("dns", Verdict.NOTE, "text", seconds))
        assert line == f"note     dns          {shown}  text"

    def test_colours(self):
        found = Finding("dns", Verdict.PROBLEM, "text")
        assert show.line(found, colours=True).startswith("\x1b[1;31mproblem \x1b[0m dns")
        assert "\x1b" not in show.line(found)


class TestArguments:
    def test_they_become_a_plan(self):
        made = make_plan(
            arguments(
                *("wss://example.com/", "-H", "X-Key: 1", "-o", "https://a.example", "-s", "a,b"),
                *("-s", "c", "--auth", "ann:secret", "--idle", "--pings", "3", "--patience", "2"),
                *("--max-message", "4096", "--no-messages"),
            )
        )
        assert made.headers == (("X-Key", "1"), ("Authorization", "Basic YW5uOnNlY3JldA=="))
        assert made.origin == "https://a.example"
        assert made.subprotocols == ("a", "b", "c")
        assert made.verified
        assert (made.idle, made.pings, made.patience, made.max_message) == (75.0, 3, 2.0, 4096)
        assert not made.messages
        assert make_plan(arguments("wss://example.com/", "--idle", "3")).idle == 3.0
        assert make_plan(arguments("wss://example.com/")).idle is None
        assert not make_plan(arguments("wss://example.com/", "-k")).verified
        assert make_plan(arguments("ws://example.com/")).tls is None

    @pytest.mark.parametrize(
        "words",
        [
            ["http://example.com/"],
            ["ws://example.com/", "-H", "no colon"],
            ["ws://example.com/", "-s", "not a token"],
            ["ws://example.com/", "--auth", "nobody"],
        ],
    )
    def test_wrong_ones_are_2(self, words, capsys):
        with pytest.raises(SystemExit) as caught:
            check.run(arguments(*words))
        assert caught.value.code == 2
        assert "usage: duologue" in capsys.readouterr().err

    def test_proxies(self, monkeypatch):
        uri = parse_uri("ws://example.com/")
        for name in ("ws_proxy", "http_proxy", "https_proxy", "socks_proxy", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.upper(), raising=False)
        assert read_proxy(None, uri) is None
        monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
        assert str(read_proxy(None, uri)) == "http://proxy.example:3128"
        assert read_proxy("none", uri) is None
        assert str(read_proxy("socks5h://a.example", uri)) == "socks5h://a.example:1080"


@pytest.fixture
def served():
    """Serves in a thread, since the command has an event loop of its own."""
    ready, done = threading.Event(), threading.Event()
    urls: list[str] = []

    def start(faulty):
        async def main():
            async with serving(faulty) as url:
                urls.append(url)
                ready.set()
                await asyncio.to_thread(done.wait)

        thread = threading.Thread(target=asyncio.run, args=(main(),))
        thread.start()
        ready.wait(10)
        threads.append(thread)
        return urls[0]

    threads: list[threading.Thread] = []
    yield start
    done.set()
    for thread in threads:
        thread.join()


class TestRun:
    def test_lines_and_0(self, served, capsys):
        url = served(Faulty())
        assert check.run(arguments(url, "--max-message", "2048")) == 0
        first, *lines = capsys.readouterr().out.splitlines()
        assert first.startswith(f"checking {url}; it is sent handshakes, pings, one plain GET, a")
        assert lines[0].startswith("ok       dns ")
        assert any(line.startswith("0 problems, 1 note. Sent: ") for line in lines)

    def test_json(self, served, capsys):
        url = served(Faulty())
        assert check.run(arguments(url, "--max-message", "2048", "--json")) == 0
        values = json.loads(capsys.readouterr().out)
        assert (values["url"], values["problems"], values["notes"]) == (url, 0, 1)
        steps = {finding["step"]: finding for finding in values["findings"]}
        assert steps["rtt"]["minimum"] <= steps["rtt"]["median"] <= steps["rtt"]["maximum"]
        assert steps["message size"]["accepted"] == 2048
        assert steps["origin"]["verdict"] == "note"
        assert values["sent"]["pings"] == 5 + 1 + 1 + 1 - 1
        assert values["advice"][0]["topic"] == "origin"

    def test_a_password_in_the_url_is_used_and_not_shown(self, served, capsys):
        faulty = Faulty()
        url = served(faulty).replace("://", "://ann:secret@")
        assert check.run(arguments(url, "--no-messages")) == 0
        shown = capsys.readouterr().out
        assert "ws://ann:***@127.0.0.1" in shown
        assert "secret" not in shown
        assert all(b"Basic YW5uOnNlY3JldA==" in head for head in faulty.requests)

    def test_problems_are_1(self, served, capsys):
        url = served(NeverPongs())
        assert check.run(arguments(url, "--patience", "0.2", "--json")) == 1
        assert json.loads(capsys.readouterr().out)["problems"] == 1

    def test_the_command(self, served, run):
        url = served(Faulty())
        result = run("connect", url, "--check", "--no-messages", "--proxy", "none")
        assert result.returncode == 0
        assert b"ok       close" in result.stdout
        assert b"echo" not in result.stdout


@pytest.mark.parametrize(
    "words", [["--idle"], ["--pings", "3"], ["--no-messages"], ["--json"], ["--patience", "1"]]
)
def test_options_of_a_check_need_one(words, run):
    result = run("connect", "ws://127.0.0.1:1/", *words)
    assert result.returncode == 2
    assert f"{words[0]} needs --check".encode() in result.stderr


def test_ctrl_c_tells_what_was_found(served):
    with subprocess.Popen(
        [sys.executable, "-m", "duologue", "connect", served(Silent()), "--check"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        while not process.stdout.readline().startswith(b"ok       tls"):
            pass
        process.send_signal(signal.SIGINT)
        rest, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert b"interrupted: the rest was not looked at" in rest
    assert b"1 problem, 0 notes. Sent: " in rest
    assert err == b""


def test_a_report_counts():
    report = Report("ws://example.com/")
    assert report.ok("a", "x")
    assert report.note("b", "x", topics=("idle",))
    assert report.exit_code == 0
    assert not report.problem("c", "x", topics=("upgrade", "idle"))
    assert report.exit_code == 1
    assert report.topics == ["upgrade", "idle"]
    assert report.as_json()["problems"] == report.as_json()["notes"] == 1
