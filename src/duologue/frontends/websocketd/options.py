"""The options of ``duologue run``: websocketd's, and what is added to them.

Words in, a :class:`Config` out, or a :class:`Stop` that says what to print and the exit code.
Nothing here starts or listens to anything.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import Any

from duologue.datastructures import Headers
from duologue.exceptions import InvalidHeader
from duologue.frontends.websocketd.config import Config
from duologue.frontends.websocketd.flags import Flag, HelpWanted, WrongFlag, parse
from duologue.frontends.websocketd.log import LEVELS
from duologue.frontends.websocketd.origins import read_origins
from duologue.version import version

__all__ = ["FLAGS", "Stop", "read"]

_PASSED = {
    "darwin": "PATH,DYLD_LIBRARY_PATH",
    "win32": "PATH,SystemRoot,COMSPEC,PATHEXT,WINDIR",
}

FORMATS = ("lines", "tagged", "json")
POLICIES = ("never", "on-failure", "always")

FLAGS = (
    Flag("address", "list", "Interfaces to bind to (e.g. 127.0.0.1 or [::1]; default 127.0.0.1)."),
    Flag("binary", "bool", "Pass messages as they are, not line by line"),
    Flag("cgidir", "string", "Serve CGI scripts from this directory over HTTP"),
    Flag("closems", "uint", "Milliseconds more that a program has to end before each signal"),
    Flag("devconsole", "bool", "Serve a page for trying the program"),
    Flag("dir", "string", "Base directory for WebSocket scripts"),
    Flag("exithook", "string", "Command to run when a session has ended"),
    Flag("header", "list", "Custom headers for any response."),
    Flag("header-http", "list", "Custom headers for all but WebSocket upgrade HTTP responses."),
    Flag("header-ws", "list", "Custom headers for successful WebSocket upgrade responses."),
    Flag("license", "bool", "Print license and exit"),
    Flag("loglevel", "string", f"Log level, one of: {', '.join(LEVELS)}", "access"),
    Flag("maxforks", "int", "Most programs that run at once, zero means unlimited", 1024),
    Flag("maxframesize", "int", "Longest message taken, bytes; zero means unlimited", 1_048_576),
    Flag("maxlinesize", "int", "Longest line of a program, bytes; zero means none", 10_485_760),
    Flag("origin", "string", "Restrict upgrades if origin does not match the list"),
    Flag(
        "passenv",
        "string",
        "List of envvars to pass to subprocesses (others will be cleaned out)",
        _PASSED.get(sys.platform, "PATH,LD_LIBRARY_PATH"),
    ),
    Flag("passstderr", "bool", "Send standard error as well, both as JSON"),
    Flag("pingms", "uint", "Milliseconds between pings; zero means 20 seconds"),
    Flag("port", "int", "HTTP port to listen on"),
    Flag("rate", "int", "Most messages a second taken of each client; zero means unlimited"),
    Flag("redirport", "int", "HTTP port to redirect to canonical --port address"),
    Flag("restart", "string", f"Start a program that ended again: {', '.join(POLICIES)}", "never"),
    Flag("reverselookup", "bool", "Perform reverse DNS lookups on remote clients"),
    Flag("sameorigin", "bool", "Restrict upgrades if origin and host headers differ"),
    Flag("share", "bool", "Run one program for all clients"),
    Flag("shareformat", "string", f"With --share, one of: {', '.join(FORMATS)}", "lines"),
    Flag("ssl", "bool", "Use TLS on listening socket (see also --sslcert and --sslkey)"),
    Flag("sslca", "string", "Ask clients for certificates that this authority has signed"),
    Flag("sslcert", "string", "Should point to certificate PEM file when --ssl is used"),
    Flag("sslkey", "string", "Should point to private key file when --ssl is used"),
    Flag("staticdir", "string", "Serve static content from this directory over HTTP"),
    Flag("strict-compat", "bool", "Behave as websocketd does, also where that is unsafe"),
    Flag("unixsocket", "string", "Unix socket to listen on"),
    Flag("version", "bool", "Print version and exit"),
)
"""All options, in alphabetical order."""

_SHORT = """
Usage:

  Export a single executable program a WebSocket server:
    duologue run [options] COMMAND [command args]

  Or, export an entire directory of executables as WebSocket endpoints:
    duologue run [options] --dir=SOMEDIR

  Or, show extended help message using:
    duologue run --help
"""


class Stop(Exception):
    """There is nothing to serve.

    Attributes:
        code: Exit code.
        output: Text for standard output.
        errors: Text for standard error.
    """

    def __init__(self, code: int, output: str = "", errors: str = "") -> None:
        super().__init__(output or errors)
        self.code = code
        self.output = output
        self.errors = errors


def read(words: Sequence[str], which: Callable[[str], str | None] = shutil.which) -> Config:
    """Reads the command line.

    Args:
        words: What stands after ``duologue run``.
        which: Finds a program in ``PATH``.

    Raises:
        Stop: If there is nothing to be served, with the exit code: 0 what was asked for was
            printed, 1 the options make no sense together, 2 an option is wrong, 4 the console
            excludes another option.
    """
    if not words:
        raise Stop(1, "Command line arguments are missing.\n", _SHORT)
    try:
        values, command, given = parse(FLAGS, words)
    except HelpWanted:
        raise Stop(0, _SHORT + "\n" + _describe()) from None
    except WrongFlag as error:
        raise Stop(2, errors=f"{error}\n{_describe()}{_SHORT}") from None
    if values["version"]:
        raise Stop(0, f"duologue {version}, as websocketd\n")
    if values["license"]:
        raise Stop(0, "duologue is licensed under the terms in the LICENSE file it comes with.\n")
    if values["loglevel"] not in (*LEVELS, "none"):
        level = values["loglevel"]
        text = f"Incorrect loglevel flag '{level}'. Use --help to see allowed values.\n"
        raise Stop(1, text, _SHORT)
    _check_together(values, command, given)
    return _config(values, command, given, which)


def _wrong(text: str, *, usage: bool = True) -> Stop:
    return Stop(1, errors=f"{text}\n{_SHORT if usage else ''}")


def _check_together(values: dict[str, Any], command: Sequence[str], given: frozenset[str]) -> None:
    files = values["sslcert"], values["sslkey"]
    if values["ssl"] and not all(files):
        text = "Please specify both --sslcert and --sslkey when requesting --ssl."
        raise _wrong(text, usage=False)
    if not values["ssl"] and (any(files) or values["sslca"]):
        text = "You should not be using --ssl* flags when there is no --ssl option."
        raise _wrong(text, usage=False)
    directories = values["dir"], values["staticdir"], values["cgidir"]
    if not command and not any(directories):
        raise _wrong("Please specify COMMAND or provide --dir, --staticdir or --cgidir argument.")
    if command and values["dir"]:
        raise _wrong(
            "Ambiguous. Provided COMMAND and --dir argument. Please only specify just one."
        )
    if values["passstderr"] and values["binary"]:
        raise _wrong("--passstderr is for lines and cannot be used with --binary.")
    if values["share"] and not command:
        raise _wrong("--share needs a COMMAND: it runs one program for all clients.")
    for name in ("binary", "passstderr"):
        if values["share"] and values[name]:
            raise _wrong(f"--share has framing of its own and cannot be used with --{name}.")
    if "shareformat" in given and not values["share"]:
        raise _wrong("--shareformat is for --share.")
    for name, allowed in (("shareformat", FORMATS), ("restart", POLICIES)):
        if values[name] not in allowed:
            raise _wrong(f"--{name} is one of {', '.join(allowed)}, not '{values[name]}'.")
    _check_directories(values)


def _check_directories(values: dict[str, Any]) -> None:
    scripts = values["dir"]
    if scripts and not os.path.exists(scripts):
        raise _wrong(f"Could not find your script dir '{scripts}'.")
    if scripts and not os.path.isdir(scripts):
        raise _wrong(f"Did you mean to specify COMMAND instead of --dir '{scripts}'?")
    for name, kind in (("cgidir", "CGI"), ("staticdir", "static")):
        path = values[name]
        if path and not os.path.isdir(path):
            raise _wrong(f"Your {kind} dir '{path}' is not pointing to an accessible directory.")


def _locate(
    command: Sequence[str], which: Callable[[str], str | None], what: str = "COMMAND"
) -> tuple[str, ...]:
    if not command:
        return ()
    found = which(command[0])
    if found is None:
        raise _wrong(f"Unable to locate specified {what} '{command[0]}' in OS path.")
    return (os.path.abspath(found), *command[1:])


def _header(text: str) -> tuple[str, str]:
    name, _, value = text.partition(":")
    name, value = "-".join(part.capitalize() for part in name.split("-")), value.lstrip(" ")
    try:
        Headers([(name, value)])
    except InvalidHeader:
        raise _wrong(f"--header wants 'Name: value', not {text!r}.") from None
    return name, value


def _positive(number: int) -> int | None:
    return number if number > 0 else None


def _config(
    values: dict[str, Any],
    command: Sequence[str],
    given: frozenset[str],
    which: Callable[[str], str | None],
) -> Config:
    tcp = not values["unixsocket"] or bool(given & {"port", "address", "redirport"})
    # Where the original's defaults cost nothing but safety they are those of --strict-compat.
    strict = values["strict-compat"]
    forks = 0 if strict and "maxforks" not in given else values["maxforks"]
    size = 0 if strict and "maxframesize" not in given else values["maxframesize"]
    line = 0 if strict and "maxlinesize" not in given else values["maxlinesize"]
    try:
        hook = shlex.split(values["exithook"])
        origins = read_origins(values["origin"]) if values["origin"] else None
    except ValueError as error:
        raise _wrong(str(error)) from None
    return Config(
        strict=strict,
        command=_locate(command, which),
        script_dir=os.path.abspath(values["dir"]) if values["dir"] else None,
        static_dir=os.path.abspath(values["staticdir"]) if values["staticdir"] else None,
        cgi_dir=os.path.abspath(values["cgidir"]) if values["cgidir"] else None,
        dev_console=values["devconsole"],
        addresses=tuple(values["address"]),
        port=_port(values, given),
        listen_tcp=tcp,
        redirect_port=values["redirport"],
        unix_socket=values["unixsocket"] or None,
        tls=values["ssl"],
        cert=values["sslcert"],
        key=values["sslkey"],
        ca=values["sslca"],
        binary=values["binary"],
        pass_stderr=values["passstderr"],
        pass_env=tuple(name.strip() for name in values["passenv"].split(",") if name.strip()),
        reverse_lookup=values["reverselookup"],
        max_forks=_positive(forks),
        max_size=_positive(size),
        max_line=_positive(line),
        close_delay=values["closems"] / 1000,
        ping_interval=values["pingms"] / 1000 or (None if strict else 20.0),
        same_origin=values["sameorigin"] if "sameorigin" in given else None,
        origins=origins,
        headers=tuple(map(_header, values["header"])),
        headers_ws=tuple(map(_header, values["header-ws"])),
        headers_http=tuple(map(_header, values["header-http"])),
        log_level=values["loglevel"],
        share=values["share"],
        share_format=values["shareformat"],
        restart=values["restart"],
        rate=_positive(values["rate"]),
        exit_hook=_locate(hook, which, "--exithook"),
        given=given,
    )


def _port(values: dict[str, Any], given: frozenset[str]) -> int:
    if values["port"]:
        return int(values["port"])
    return 443 if values["ssl"] else 80


def _describe() -> str:
    """Lists the options as Go's ``flag`` does."""
    lines = ["Usage of duologue run:"]
    for flag in FLAGS:
        kind = {"bool": "", "list": " value"}.get(flag.kind, f" {flag.kind}")
        default = "" if flag.default is None else f" (default {flag.default})"
        lines += [f"  -{flag.name}{kind}", f"    \t{flag.usage}{default}"]
    return "\n".join(lines) + "\n"
