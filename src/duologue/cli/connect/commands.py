"""What a person can say besides messages: lines that begin with a slash, read into values.

Only reading: nothing is sent here, no file is opened. A text that begins with a slash itself is
written with two.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from duologue.exceptions import ProtocolError
from duologue.frames import Close, CloseCode
from duologue.wire.frame import MAX_CONTROL_PAYLOAD

__all__ = [
    "HELP",
    "Bye",
    "Command",
    "CommandError",
    "File",
    "Help",
    "Message",
    "Ping",
    "Pong",
    "Stats",
    "read",
]

HELP = """\
/ping [DATA]            send a ping, and tell how long its pong took
/pong [DATA]            send a pong that answers no ping
/close [CODE [REASON]]  close the connection; code 1000 unless told otherwise
/binary FILE            send a file's octets as one binary message
/stats                  what was sent and received, and how long a round trip took
/help                   these lines
//TEXT                  send a text that begins with a slash
Enter sends; after an unfinished JSON object or array it begins a line instead,
until an empty line. Ctrl-D closes the connection with code 1000."""


class CommandError(Exception):
    """A line that begins with a slash is no command; the message says why."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message to send."""

    data: str | bytes


@dataclass(frozen=True, slots=True)
class Ping:
    """A ping to send; with ``None`` its data is random."""

    data: bytes | None


@dataclass(frozen=True, slots=True)
class Pong:
    """A pong to send though nobody has asked."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Bye:
    """The closing handshake."""

    close: Close


@dataclass(frozen=True, slots=True)
class File:
    """A file whose octets are a message to send."""

    path: Path


@dataclass(frozen=True, slots=True)
class Stats:
    """Numbers about the connection are wanted."""


@dataclass(frozen=True, slots=True)
class Help:
    """:data:`HELP` is wanted."""


Command = Message | Ping | Pong | Bye | File | Stats | Help


def read(line: str) -> Command:
    """Reads what a person has entered.

    Args:
        line: The line, or lines.

    Raises:
        CommandError: If it begins with a slash and is no command.
    """
    if not line.startswith("/"):
        return Message(line)
    if line.startswith("//"):
        return Message(line[1:])
    name, _, rest = line.partition(" ")
    rest = rest.strip()
    match name:
        case "/ping":
            return Ping(_data(rest) or None)
        case "/pong":
            return Pong(_data(rest))
        case "/close":
            return Bye(_close(rest))
        case "/binary":
            if not rest:
                raise CommandError("/binary needs the name of a file")
            return File(Path(rest).expanduser())
        case "/stats" | "/help":
            if rest:
                raise CommandError(f"{name} takes nothing after it")
            return Stats() if name == "/stats" else Help()
    raise CommandError(f"there is no command {name}; /help lists them, //… sends a text with /")


def _data(rest: str) -> bytes:
    data = rest.encode()
    if len(data) > MAX_CONTROL_PAYLOAD:
        raise CommandError(
            f"pings and pongs hold at most {MAX_CONTROL_PAYLOAD} bytes, not {len(data)}"
        )
    return data


def _close(rest: str) -> Close:
    code, _, reason = rest.partition(" ")
    if not code:
        return Close(CloseCode.NORMAL_CLOSURE, "")
    if not (code.isascii() and code.isdigit()):
        raise CommandError(f"{code} is not a close code; the reason comes after a code")
    close = Close(int(code), reason.strip())
    try:
        close.check()
    except ProtocolError as error:
        raise CommandError(f"cannot close with that: {error}") from None
    return close
