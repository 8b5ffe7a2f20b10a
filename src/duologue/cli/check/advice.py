"""Which advice follows from what was found.

Pure: findings in, snippets out. For a problem there is advice for the proxy that the server says it
is, or for all of them if it doesn't say; for a note only for the one that is known to be there.
"""

from __future__ import annotations

from dataclasses import dataclass

from duologue.cli.check.findings import Report, Verdict
from duologue.cli.check.snippets import SERVERS, SNIPPETS, TOPICS, Snippet

__all__ = ["Advice", "advise", "known_servers"]

_FORKS = {"openresty": "nginx", "tengine": "nginx", "angie": "nginx"}


@dataclass(frozen=True, slots=True)
class Advice:
    """What to change for one reason.

    Attributes:
        topic: The reason, a key of :data:`~duologue.cli.check.snippets.TOPICS`.
        text: What holds whatever the proxy.
        snippets: What to put into a proxy's configuration; may be empty.
    """

    topic: str
    text: str
    snippets: tuple[Snippet, ...]


def known_servers(software: str) -> list[str]:
    """Returns the proxies that a ``Server`` or ``Via`` header speaks of.

    Args:
        software: The header's value.
    """
    lower = software.lower()
    found = [server for server in SERVERS if server in lower]
    found += [server for fork, server in _FORKS.items() if fork in lower]
    return list(dict.fromkeys(found))


def advise(report: Report) -> list[Advice]:
    """Returns what to change, problems first.

    Args:
        report: What was found.
    """
    known = known_servers(report.software)
    wrong = {
        topic
        for finding in report.findings
        if finding.verdict is Verdict.PROBLEM
        for topic in finding.topics
    }
    return [
        Advice(topic, TOPICS[topic], _choose(topic, known or list(SERVERS) * (topic in wrong)))
        for topic in report.topics
    ]


def _choose(topic: str, servers: list[str]) -> tuple[Snippet, ...]:
    return tuple(
        snippet for snippet in SNIPPETS if snippet.topic == topic and snippet.server in servers
    )
