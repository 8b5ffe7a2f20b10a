"""Somebody at a terminal, with and without a line editor."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import stat
import threading
import time
from pathlib import Path

import pytest

PROMPT = "> "
EDITORLESS = "raise ImportError('there is none')\n"


@pytest.fixture
def without_editor(tmp_path, monkeypatch):
    """An environment in which prompt_toolkit can't be imported."""
    folder = tmp_path / "without"
    folder.mkdir()
    (folder / "prompt_toolkit.py").write_text(EDITORLESS)
    return {**os.environ, "PYTHONPATH": str(folder)}


def ready(somebody) -> None:
    """Waits for the prompt, so that what is typed isn't typed too early."""
    somebody.see(lambda lines: bool(lines) and lines[-1].rstrip() == ">")


@pytest.fixture
def meeting(serving, person):
    """A server and somebody who talks to it, ready to type."""

    @contextlib.contextmanager
    def meet(*handler):
        with serving(*handler) as url:
            somebody = person(url)
            ready(somebody)
            yield somebody

    return meet


class Hearing:
    """A handler that notes what it hears, and sends what it is told to."""

    def __init__(self, *greetings: str | bytes) -> None:
        self.greetings = greetings
        self.heard: list[str | bytes] = []
        self.close: tuple[int, str] | None = None
        self.websocket = None
        self.done = threading.Event()

    def __call__(self, websocket) -> None:
        self.websocket = websocket
        for greeting in self.greetings:
            websocket.send(greeting)
        with contextlib.suppress(Exception):
            while True:
                self.heard.append(websocket.recv())
                websocket.send(f"heard {len(self.heard)}")
        self.close = websocket.close_code, websocket.close_reason
        self.done.set()


class TestTyping:
    def test_a_line_is_sent(self, serving, person):
        with serving() as url:
            somebody = person(url)
            lines = somebody.see(lambda lines: lines[-1:] == [">"])
            assert "".join(lines[:2]).replace(" ", "") == (
                f"duologue: connected to {url} (permessage-deflate); each line is sent, /help "
                "lists commands, Ctrl-D closes"
            ).replace(" ", "")
            somebody.type("hello\r")
            somebody.see("< hello")
            assert "> hello" in somebody.lines()
            somebody.type("\x04")
            assert somebody.leave() == 0
        assert somebody.lines()[-1] == "duologue: closed: 1000 (OK)"

    @pytest.mark.parametrize(
        ("offered", "agreed"), [("v1,v0", "subprotocol v0"), ("v1", "no subprotocol")]
    )
    def test_it_says_what_was_agreed_on(self, serving, person, offered, agreed):
        def choose(websocket, subprotocols):
            return "v0" if "v0" in subprotocols else None

        with serving(select_subprotocol=choose, compression=None) as url:
            somebody = person(url, "-s", offered)
            somebody.see(lambda lines: f" ({agreed}); each" in "".join(lines))

    def test_the_line_can_be_edited(self, meeting):
        with meeting() as somebody:
            somebody.type("wrld\x1b[D\x1b[D\x1b[Do\x01hello, \x05!\r")  # left ×3, C-a, C-e
            somebody.see("< hello, world!")

    def test_octets_that_are_no_text(self, meeting):
        hearing = Hearing()
        with meeting(hearing) as somebody:
            somebody.type(b"a\xffb\r")
            somebody.see("duologue: that is not UTF-8 and was not sent")
            somebody.type("text\r")
            somebody.see("< heard 1")
        assert hearing.heard == ["text"]

    def test_binary(self, serving, person):
        hearing = Hearing()
        with serving(hearing) as url:
            somebody = person(url, "-b")
            ready(somebody)
            somebody.type("tëxt\r")
            somebody.see("< heard 1")
        assert hearing.heard == ["tëxt".encode()]

    def test_json_goes_on_in_the_next_line(self, meeting):
        hearing = Hearing()
        with meeting(hearing) as somebody:
            somebody.type('{"a": [1,\r')
            somebody.see("|")
            somebody.type("2]\r")
            somebody.see(lambda lines: lines[-3:] == ['> {"a": [1,', "| 2]", "|"])
            somebody.type("}\r")
            somebody.see("< heard 1")
            somebody.type("[no json\r")
            somebody.see("< heard 2")
            somebody.type("{\r\r")  # an empty line ends it in any case
            somebody.see("< heard 3")
        assert hearing.heard == ['{"a": [1,\n2]\n}', "[no json", "{\n"]

    def test_what_is_pasted_is_one_message(self, meeting):
        hearing = Hearing()
        with meeting(hearing) as somebody:
            somebody.type("\x1b[200~one\rtwo\x1b[201~")
            somebody.see(lambda lines: lines[-1] == "| two")
            somebody.type("\r")
            somebody.see("< heard 1")
        assert hearing.heard == ["one\ntwo"]

    def test_what_arrives_does_not_tear_the_line(self, meeting):
        hearing = Hearing()
        with meeting(hearing) as somebody:
            somebody.type("half a")
            somebody.see("> half a")
            for number in range(30):
                hearing.websocket.send(f"{number} " + "wide " * (number % 20))
                if number % 10 == 5:
                    somebody.type(str(number)[-1])
            hearing.websocket.ping()
            somebody.see(lambda lines: "< 29 " + ("wide " * 9).strip() in lines)
            lines = somebody.see(lambda lines: lines[-1] == "> half a555")
            assert somebody.line == "> half a555"
            assert sum(line.startswith("> half") for line in lines) == 1
            somebody.type(" line\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D!\r")
            somebody.see("< heard 1")
            assert hearing.heard == ["half a555! line"]

    def test_much_that_arrives_is_shown_in_order(self, serving, person):
        with serving(Hearing(*(f"message {n}" for n in range(1000)))) as url:
            somebody = person(url)
            somebody.see("< message 999")
            ready(somebody)
            numbers = re.findall(rb" message (\d+)", somebody.octets)
            assert [int(number) for number in numbers] == list(range(1000))

    def test_a_message_that_does_not_end(self, serving, person):
        with serving(Hearing("x" * 70_000, b"\0" * 40_000)) as url:
            somebody = person(url, columns=200)
            somebody.see(lambda lines: "… and 4464 characters more" in "".join(lines))
            somebody.see(lambda lines: "… and 7232 bytes more" in "".join(lines))


class TestLeaving:
    def test_ctrl_d_closes_at_once(self, meeting):
        hearing = Hearing()
        with meeting(hearing) as somebody:
            before = time.monotonic()
            somebody.type("\x04")
            assert somebody.leave() == 0
            assert time.monotonic() - before < 0.9  # less than SILENCE
            assert hearing.done.wait(10)
        assert hearing.close == (1000, "")

    def test_ctrl_c_throws_away_the_line_and_then_leaves(self, meeting):
        hearing = Hearing()
        with meeting(hearing) as somebody:
            somebody.type("never sent\x03")
            somebody.see(lambda lines: lines[-1] == ">")
            somebody.type("sent\r")
            somebody.see("< heard 1")
            ready(somebody)
            somebody.type("\x03")
            assert somebody.leave() == 0
            assert hearing.done.wait(10)
        assert hearing.heard == ["sent"]
        assert hearing.close == (1001, "")

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_while_a_line_is_edited(self, meeting, number):
        hearing = Hearing()
        with meeting(hearing) as somebody:
            somebody.type("half")
            somebody.see("> half")
            somebody.child.kill(number)
            assert somebody.leave() == 0
            assert hearing.done.wait(10)
        assert hearing.close == (1001, "")
        assert somebody.lines()[-2:] == ["> half", "duologue: closed: 1001 (going away)"]

    def test_the_server_ends_it_while_a_line_is_edited(self, meeting):
        hearing = Hearing()
        with meeting(hearing) as somebody:
            somebody.type("half")
            somebody.see("> half")
            hearing.websocket.close(4321, "enough\x1b")
            assert somebody.leave() == 3
        assert somebody.lines()[-2:] == [
            "> half",
            "duologue: closed: 4321 (private use) enough\\x1b",
        ]

    def test_the_terminal_is_left_as_it_was(self, serving, person):
        import termios

        with serving() as url:
            somebody = person(url)
            fd = somebody.child.fileno()
            before = termios.tcgetattr(fd)[3]
            ready(somebody)
            assert not termios.tcgetattr(fd)[3] & termios.ICANON
            somebody.type("\x04")
            somebody.see("duologue: closed: 1000 (OK)")
            assert termios.tcgetattr(fd)[3] == before
        assert b"\x1b[6n" not in somebody.octets  # the question where the cursor is

    def test_one_message(self, serving, person):
        with serving(Hearing("one", "two")) as url:
            somebody = person("-1", url)
            assert somebody.leave() == 0
        assert "< one" in somebody.lines()
        assert "< two" not in somebody.lines()


class TestCommands:
    @pytest.fixture
    def conversation(self, meeting):
        hearing = Hearing()
        with meeting(hearing) as somebody:
            yield somebody, hearing

    def test_ping(self, conversation):
        somebody, _ = conversation
        somebody.type("/ping\r")
        somebody.see(lambda lines: any(line.startswith("pong after ") for line in lines))

    def test_close(self, conversation):
        somebody, hearing = conversation
        somebody.type("/close 4000 see you\r")
        assert somebody.leave() == 0
        assert hearing.done.wait(10)
        assert hearing.close == (4000, "see you")
        assert somebody.lines()[-2:] == [
            "> /close 4000 see you",
            "duologue: closed: 4000 (private use) see you",
        ]

    def test_close_with_nonsense(self, conversation):
        somebody, hearing = conversation
        somebody.type("/close 1005\r")
        somebody.see(lambda lines: any("invalid status code: 1005" in line for line in lines))
        ready(somebody)
        somebody.type("still here\r")
        somebody.see("< heard 1")
        assert hearing.heard == ["still here"]

    def test_binary(self, conversation, tmp_path):
        somebody, hearing = conversation
        (tmp_path / "a file").write_bytes(b"\x00\xff")
        somebody.type(f"/binary {tmp_path}/a file\r")
        somebody.see("< heard 1")
        assert hearing.heard == [b"\x00\xff"]

    def test_stats(self, conversation):
        somebody, _ = conversation
        somebody.type("grüße\r")
        somebody.see("< heard 1")
        somebody.type("/stats\r")
        lines = somebody.see(lambda lines: any(line.startswith("round trip:") for line in lines))
        assert "sent: 1 message, 7 bytes" in lines
        assert "received: 1 message, 7 bytes" in lines
        assert "subprotocol: none; extensions: permessage-deflate" in lines
        assert any(line.startswith("connection 1 to 127.0.0.1 port ") for line in lines)

    def test_help(self, conversation):
        somebody, _ = conversation
        somebody.type("/help\r")
        somebody.see(lambda lines: any(line.startswith("//TEXT ") for line in lines))

    def test_a_slash_to_send(self, conversation):
        somebody, hearing = conversation
        somebody.type("//ping\r")
        somebody.see("< heard 1")
        assert hearing.heard == ["/ping"]


class TestHistory:
    def test_it_is_kept_from_one_time_to_the_next(self, serving, person, environment):
        path = environment / "duologue" / "history"
        with serving() as url:
            somebody = person(url)
            ready(somebody)
            for text in ("one", "[\r1]", " two"):
                somebody.type(f"{text}\r")
                somebody.see(lambda lines: lines[-1:] == [">"] and lines[-2][:2] == "< ")
            somebody.type("\x04")
            assert somebody.leave() == 0
            assert [json.loads(line) for line in path.read_text().splitlines()] == ["one", "[\n1]"]
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            another = person(url)
            ready(another)
            another.type("\x1b[A")  # up
            another.see(lambda lines: lines[-2:] == ["> [", "| 1]"])
            another.type("\x1b[A\x1b[A")
            another.see(lambda lines: lines[-1] == "> one")
            another.type("\r")
            another.see("< one")

    def test_it_can_be_searched(self, meeting, environment):
        (environment / "duologue").mkdir(parents=True)
        (environment / "duologue" / "history").write_text('"subscribe to news"\n"other"\n')
        with meeting() as somebody:
            somebody.type("\x12scribe\r")  # C-r
            somebody.type("\r")
            somebody.see("< subscribe to news")

    def test_where_none_can_be_kept(self, meeting, environment):
        environment.write_text("not a folder")
        with meeting() as somebody:
            for text in ("one", "two"):
                somebody.type(f"{text}\r")
                somebody.see(f"< {text}")
            shown = "".join(somebody.lines())
        assert shown.count("no history is kept in ") == 1


class TestShowing:
    def test_what_arrives_is_harmless(self, serving, person):
        evil = "\x1b[2J\x1b]0;title\x07\r\x08\x9b31m\u202e\x00"
        with serving(Hearing(evil)) as url:
            somebody = person(url)
            somebody.see("< \\x1b[2J\\x1b]0;title\\x07\\r\\x08\\x9b31m\\u202e\\x00")
        assert b"title\x07" not in somebody.octets
        assert b"\x1b[2J" not in somebody.octets
        assert b"\xc2\x9b" not in somebody.octets

    def test_colours(self, serving, person):
        with serving(Hearing("hello")) as url:
            somebody = person(url)
            somebody.see("< hello")
            ready(somebody)
        assert b"\x1b[36m<\x1b[0m hello" in somebody.octets

    @pytest.mark.parametrize("setting", [{"NO_COLOR": "1"}, {"NO_COLOR": "yes", "TERM": "linux"}])
    def test_no_colours(self, serving, person, setting):
        with serving(Hearing("hello")) as url:
            somebody = person(url, env={**os.environ, **setting})
            somebody.see("< hello")
            ready(somebody)
            somebody.type("/nonsense\r")
            somebody.see(lambda lines: any("no command" in line for line in lines))
        for colour in (b"36m", b"32m", b"33m"):
            assert colour not in somebody.octets

    def test_verbose(self, serving, person):
        with serving() as url:
            somebody = person(url, "-v")
            ready(somebody)
            somebody.type("hi\r")
            lines = somebody.see("< hi")
        assert ">   0000  68 69                                             hi" in lines

    def test_connecting_again(self, serving, person):
        hearing = Hearing()
        with serving(hearing) as url:
            somebody = person(url, "--reconnect")
            ready(somebody)
            somebody.type("half")
            somebody.see("> half")
            hearing.websocket.close(1011)
            somebody.see(
                lambda lines: (
                    sum("connected to" in line for line in lines) == 2 and lines[-1] == "> half"
                )
            )
            somebody.type(" a line\r")
            somebody.see("< heard 2" if len(hearing.heard) > 1 else "< heard 1")
            somebody.type("\x04")
            assert somebody.leave() == 0
        assert hearing.heard == ["half a line"]

    def test_what_is_entered_without_a_connection_is_not_sent(self, serving, person):
        hearing = Hearing()
        with serving(hearing) as url:
            somebody = person(url, "--reconnect")
            ready(somebody)
        somebody.see(lambda lines: any("reconnecting in" in line for line in lines))
        somebody.type("lost\r")
        somebody.see("duologue: not connected: that was not sent")
        somebody.type("\x04")
        assert somebody.leave() == 0


class TestWithoutEditor:
    @pytest.mark.parametrize("why", ["missing", "dumb"])
    def test_lines_are_sent(self, serving, person, without_editor, why):
        hearing = Hearing("hello")
        environment = without_editor if why == "missing" else {**os.environ, "TERM": "dumb"}
        with serving(hearing) as url:
            somebody = person(url, env=environment)
            somebody.see("< hello")
            somebody.type("{\n")
            somebody.type('"a": 1\n')
            somebody.type("}\n/nonsense\n//x\n")
            somebody.see("< heard 2")
            somebody.type("\x04")
            assert somebody.leave() == 0
        assert hearing.heard == ['{\n"a": 1\n}', "/x"]
        shown = somebody.octets.decode()
        assert shown.count("pip install duologue[cli]") == (why == "missing")
        assert "there is no command /nonsense" in shown

    def test_output_that_is_not_a_terminal(self, serving, person, tmp_path: Path):
        with serving(Hearing("hello\x1b")) as url:
            somebody = person(url, preexec_fn=lambda: redirect(tmp_path / "out"))
            somebody.see(lambda lines: any("connected" in line for line in lines))
            somebody.type("one\n")
            deadline = time.monotonic() + 10
            while "heard 1" not in (tmp_path / "out").read_text():
                assert time.monotonic() < deadline
                time.sleep(0.02)
            somebody.type("\x04")
            assert somebody.leave() == 0
        assert (tmp_path / "out").read_text() == "hello\x1b\nheard 1\n"


def redirect(path: Path) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    os.dup2(fd, 1)
