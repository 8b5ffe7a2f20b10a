"""The grammar of header values: any text, beside `websockets`; what is read can be written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from websockets import exceptions as their_exceptions
from websockets import headers as theirs

from duologue.base.exceptions import InvalidHeader
from duologue.wire import grammar as ours

PARSERS: dict[str, Callable[[Any], str] | None] = {
    "parse_connection": None,
    "parse_upgrade": None,
    "parse_extension": ours.build_extension,
    "parse_subprotocol": ours.build_subprotocol,
    "parse_authorization_basic": lambda pair: ours.build_authorization_basic(*pair),
}


def run(data: bytes) -> None:
    """Read the input as each kind of header value."""
    text = data.decode("latin-1").strip(" \t")
    for name, build in PARSERS.items():
        mine = outcome(getattr(ours, name), text, InvalidHeader)
        other = outcome(getattr(theirs, name), text, their_exceptions.InvalidHeader)
        if mine is not None and other is not None:
            assert mine == other, (name, text, mine, other)
        if mine and build is not None:
            assert getattr(ours, name)(build(mine)) == mine, (name, text, mine)


def outcome(parse: Callable[[str], Any], text: str, refusal: type[Exception]) -> Any:
    """What was read, ``None`` if it was refused."""
    try:
        return parse(text)
    except refusal:
        return None
