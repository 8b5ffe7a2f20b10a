"""Deciding what becomes of a request: a WebSocket with a program, a CGI script, a file, or no.

It reads the file system, to find scripts; it starts nothing and sends nothing.

Invariant: nothing outside of the directories that are served is ever found, not through ``..`` and
not through a symbolic link (which ``--strict-compat`` allows in ``--dir``, as websocketd 0.4.1).
"""

from __future__ import annotations

import base64
import html
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from duologue.frontends.websocketd import origins
from duologue.frontends.websocketd.config import Config
from duologue.frontends.websocketd.visit import Visit, clean_path, wants_websocket

__all__ = [
    "CgiScript",
    "Console",
    "Decision",
    "Program",
    "Refusal",
    "StaticFile",
    "confined",
    "decide",
    "find_script",
]


@dataclass(frozen=True, slots=True)
class Program:
    """A WebSocket, and the program at its other end.

    Attributes:
        command: Program and arguments.
        script_name: The part of the path that named it.
        path_info: The part after that.
    """

    command: tuple[str, ...]
    script_name: str
    path_info: str


@dataclass(frozen=True, slots=True)
class CgiScript:
    """A CGI script, by its path in the file system."""

    path: str


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file or directory, by its path in the file system, which may not exist."""

    path: str


@dataclass(frozen=True, slots=True)
class Console:
    """The page of ``--devconsole``."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer without anything behind it.

    Attributes:
        status: Status code.
        body: Text.
        headers: Header fields besides those of every answer.
        why: Lines for the log.
        upgrade: Whether it refuses a WebSocket.
        command: Program that was meant, as far as that was found.
        origin: Origin that was judged.
    """

    status: int
    body: str
    headers: tuple[tuple[str, str], ...] = ()
    why: tuple[str, ...] = ()
    upgrade: bool = True
    command: str = ""
    origin: str = ""


Decision = Program | CgiScript | StaticFile | Console | Refusal

_VERSION = (("Sec-Websocket-Version", "13"),)
NOT_FOUND = Refusal(404, "404 page not found\n", why=("NOT FOUND",), upgrade=False)
# Logged twice, as it always was.
SCRIPT_NOT_FOUND = Refusal(404, "404 Not Found\n", why=("NOT FOUND: script not found",) * 2)
TOO_MANY = Refusal(429, "429 Too Many Requests\n")
MISDIRECTED = Refusal(
    403,
    "Forbidden: this name doesn't lead here; see --address and --origin\n",
    why=("Host is no name of this machine: give --address or --origin to serve it",),
    upgrade=False,
)


FOREIGN = Refusal(
    403,
    "Forbidden: pages of other sites can't run this; see --origin\n",
    why=("CGI: wanted by a page of another site",),
    upgrade=False,
)


def decide(config: Config, visit: Visit, full: bool) -> Decision:
    """Decides what becomes of a request.

    Args:
        config: What is served.
        visit: The request.
        full: Whether no further program may be started.
    """
    if visit.malformed:
        return Refusal(400, "400 Bad Request\n", upgrade=False)
    if config.guards_host and not origins.is_local_name(visit.host):
        return MISDIRECTED
    cleaned = clean_path(visit.path)
    if cleaned != visit.path:
        location = quote(os.fsencode(cleaned), safe="/$&+,:;=@")
        location += f"?{visit.query}" if visit.query else ""
        body = f'<a href="{html.escape(location)}">Moved Permanently</a>.\n\n'
        return Refusal(301, body, (("Location", location),))
    if (config.command or config.script_dir) and wants_websocket(visit.request):
        return TOO_MANY if full else _decide_upgrade(config, visit)
    return _decide_plain(config, visit, full)


def _decide_upgrade(config: Config, visit: Visit) -> Decision:
    program: Program | None = Program(config.command, "/", visit.path)
    if config.script_dir is not None:
        program = find_script(config.script_dir, visit.path, anywhere=config.strict)
    if program is None:
        return SCRIPT_NOT_FOUND
    return _check_handshake(config, visit, program.command[0]) or program


def _check_handshake(config: Config, visit: Visit, command: str) -> Refusal | None:
    """Refuse a handshake that is wrong (RFC 6455 section 4.2.1) or comes from elsewhere."""
    headers = visit.headers

    def refuse(status: int, phrase: str, *why: str, origin: str = "") -> Refusal:
        lines = tuple(f"Unable to Upgrade: websocket: {each}" for each in why[-1:])
        body = f"{phrase}\n500 Internal Error\n"
        return Refusal(status, body, _VERSION, why[:-1] + lines, command=command, origin=origin)

    if visit.request.method != "GET":
        why = "the client is not using the websocket protocol: request method is not GET"
        return refuse(405, "Method Not Allowed", why)
    if headers.get_all("Sec-WebSocket-Version") != ["13"]:
        why = "unsupported version: 13 not found in 'Sec-Websocket-Version' header"
        return refuse(400, "Bad Request", why)
    found = _fault_of_origin(config, visit)
    origin = "" if visit.origin in (None, "", "null") else str(visit.origin)
    if found is not None:
        unknown = found.startswith("Origin ") and "error" in found
        why = "request origin not allowed by Upgrader.CheckOrigin"
        return refuse(403, "Forbidden", found, why, origin="" if unknown else origin or "file:")
    keys = headers.get_all("Sec-WebSocket-Key")
    if not _is_key(keys):
        fault = "must be 16 octets in Base64" if any(keys) else "is missing or blank"
        why = f"not a websocket handshake: 'Sec-WebSocket-Key' header {fault}"
        return refuse(400, "Bad Request", why, origin=origin or "file:")
    return None


def _fault_of_origin(config: Config, visit: Visit) -> str | None:
    """Say what is wrong with where a page comes from, ``None`` if it may come."""
    return origins.check(
        visit.origin,
        visit.host,
        tls=visit.tls,
        same=bool(config.same_origin),
        rules=config.origins,
        guarded=config.guards_origin,
    )


def _is_key(values: Sequence[str]) -> bool:
    try:
        return len(values) == 1 and len(base64.b64decode(values[0], validate=True)) == 16
    except ValueError:
        return False


def _is_foreign(config: Config, visit: Visit) -> bool:
    """Tell whether a page of another site has a CGI script run, unseen by who sits before it."""
    if config.strict:
        return False
    if visit.origin is None:
        # Images, scripts and the like have no Origin; browsers tell so what they are.
        sites, modes = (visit.headers.get_all(f"Sec-Fetch-{name}") for name in ("Site", "Mode"))
        foreign = {"cross-site", "same-site"} & set(sites) and modes != ["navigate"]
        return bool(foreign and (config.guards_origin or config.same_origin))
    return _fault_of_origin(config, visit) is not None


def _decide_plain(config: Config, visit: Visit, full: bool) -> Decision:
    if config.dev_console:
        return Console()
    if config.cgi_dir is not None:
        script = confined(config.cgi_dir, visit.path)
        if script is not None and os.path.isfile(script):
            if _is_foreign(config, visit):
                return FOREIGN
            return TOO_MANY if full else CgiScript(script)
    if config.static_dir is not None:
        found = confined(config.static_dir, visit.path)
        return StaticFile(found) if found is not None else NOT_FOUND
    return NOT_FOUND


def confined(directory: str, path: str, *, anywhere: bool = False) -> str | None:
    """Returns where a path leads inside a directory; ``None`` if it leads out of it.

    Args:
        directory: An absolute path.
        path: A path of a request, percent-encoding undone.
        anywhere: Whether symbolic links may lead out.
    """
    segments = [segment for segment in path.split("/") if segment]
    if ".." in segments:
        return None
    joined = os.path.join(directory, *segments)
    if anywhere:
        return joined
    root = os.path.realpath(directory)
    real = os.path.realpath(joined)
    return joined if real == root or real.startswith(root.rstrip(os.sep) + os.sep) else None


def find_script(directory: str, path: str, *, anywhere: bool = False) -> Program | None:
    """Finds the program that a path names: the first plain file on the way down.

    Args:
        directory: Where to begin.
        path: A path of a request, percent-encoding undone.
        anywhere: Whether symbolic links may lead out of the directory.

    Returns:
        The program, with the rest of the path; ``None`` if there is no such file.
    """
    segments = path.lstrip("/").split("/")
    for count in range(1, len(segments) + 1):
        name = "/" + "/".join(segments[:count])
        place = confined(directory, name, anywhere=anywhere)
        if place is None:
            return None
        try:
            mode = os.stat(place).st_mode
        except OSError:
            return None
        if stat.S_ISREG(mode):
            rest = segments[count:]
            return Program((place,), name, "/" + "/".join(rest) if rest else "")
        if not stat.S_ISDIR(mode):
            return None
    return None
