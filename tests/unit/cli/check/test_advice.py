"""What to change: which snippets, and that the documentation shows the same ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from duologue.cli.check import show
from duologue.cli.check.advice import advise, known_servers
from duologue.cli.check.findings import Report
from duologue.cli.check.snippets import SERVERS, SNIPPETS, TOPICS

DOCS = Path(__file__).parents[4] / "docs" / "deploy"


def report(topic: str, software: str = "", *, wrong: bool = True) -> Report:
    made = Report("ws://example.com/")
    made.software = software
    if wrong:
        made.problem("handshake", "text", topics=(topic,))
    else:
        made.note("origin", "text", topics=(topic,))
    return made


def test_there_is_a_snippet_for_every_proxy_and_subject():
    pairs = [(one.server, one.topic) for one in SNIPPETS]
    assert len(pairs) == len(set(pairs))
    assert set(pairs) == {(server, topic) for server in SERVERS for topic in TOPICS}


@pytest.mark.parametrize(
    ("software", "servers"),
    [
        ("nginx/1.26.0", ["nginx"]),
        ("Caddy", ["caddy"]),
        ("HAProxy", ["haproxy"]),
        ("openresty/1.25", ["nginx"]),
        ("Python/3.11 websockets/17, 1.1 Caddy", ["caddy"]),
        ("", []),
        ("Apache", []),
    ],
)
def test_known_servers(software, servers):
    assert known_servers(software) == servers


def test_a_problem_behind_an_unknown_proxy_has_advice_for_all():
    (advice,) = advise(report("idle"))
    assert [one.server for one in advice.snippets] == list(SERVERS)
    assert advice.text == TOPICS["idle"]


def test_a_problem_behind_a_known_proxy_has_advice_for_that_one():
    (advice,) = advise(report("idle", "nginx"))
    assert [one.server for one in advice.snippets] == ["nginx"]


def test_a_note_has_a_snippet_only_for_a_known_proxy():
    (advice,) = advise(report("origin", wrong=False))
    assert advice.snippets == ()
    (advice,) = advise(report("origin", "Caddy", wrong=False))
    assert [one.server for one in advice.snippets] == ["caddy"]


def test_problems_come_first_and_each_subject_once():
    made = report("origin", wrong=False)
    made.problem("handshake", "text", topics=("upgrade", "idle"))
    made.problem("idle", "text", topics=("idle",))
    assert [one.topic for one in advise(made)] == ["upgrade", "idle", "origin"]


def test_what_is_printed_is_the_snippet():
    text = "\n".join(show.ending(report("upgrade", "nginx")))
    (snippet,) = (one for one in SNIPPETS if (one.server, one.topic) == ("nginx", "upgrade"))
    printed = re.search(r"nginx: .*?\n\n(.*)", text, re.DOTALL)
    assert printed
    assert "\n".join(line[4:] for line in printed.group(1).splitlines()) == snippet.code.rstrip()


@pytest.mark.parametrize("server", SERVERS)
def test_the_documentation_shows_the_same(server):
    page = (DOCS / f"{server}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(?:nginx|text)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    wanted = [one for one in SNIPPETS if one.server == server]
    assert blocks == [one.code for one in wanted]
    prose = " ".join(page.split())
    for one in wanted:
        assert " ".join(one.why.split()) in prose
