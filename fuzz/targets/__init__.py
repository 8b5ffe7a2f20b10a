"""What is fuzzed: each target is a function of octets that raises when something is wrong."""

from __future__ import annotations

from collections.abc import Callable

from . import connection, deflate, grammar, heads, machine, urls

TARGETS: dict[str, Callable[[bytes], None]] = {
    "connection": connection.run,
    "deflate": deflate.run,
    "grammar": grammar.run,
    "heads": heads.run,
    "machine": machine.run,
    "urls": urls.run,
}
"""By the name of the folder of ``corpus`` that holds their inputs."""
