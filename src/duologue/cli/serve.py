"""``duologue serve``: serves the echo, the chat or a handler of one's own."""

from __future__ import annotations

import argparse
import os
from typing import Any

from duologue.app.application import App
from duologue.app.logs import set_up_logging
from duologue.base.limits import DEFAULT_LIMITS
from duologue.cli import applications, certificates, targets, values
from duologue.cli.failure import Failure
from duologue.cli.serving import run_until_stopped
from duologue.cli.terminal import escape, say

__all__ = ["add_parser", "run"]

_DESCRIPTION = """\
Serve WebSockets until interrupted; then close them with code 1001 (going away).
The first line printed is the URL.

targets:
  echo              sends every message back; its page is for trying it in a browser
  chat              sends every text to everybody
  module:attribute  a handler: an async function that takes the connection;
                    an App, or any ASGI application (FastAPI, Starlette, ...),
                    or a function without arguments that makes one of these two
  a folder          its *_wsh.py handlers, as pywebsocket serves them
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declares the arguments of the subcommand.

    Args:
        subparsers: What to add its parser to.
    """
    parser = subparsers.add_parser(
        "serve",
        help="serve the echo, the chat, your own handler or application",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("target", metavar="TARGET", help="echo, chat, module:attribute or a folder")
    _add_place(parser)
    certificates.add_arguments(parser)
    parser.add_argument(
        "--max-size",
        metavar="BYTES",
        type=values.size,
        default=...,
        help="largest message accepted; 'none' lifts the limit "
        f"(default: {DEFAULT_LIMITS.max_size})",
    )
    parser.add_argument(
        "--no-compression", action="store_true", help="don't negotiate permessage-deflate"
    )
    applications.add_arguments(parser)
    parser.add_argument("--greeting", metavar="TEXT", help="what the echo says first")
    parser.add_argument(
        "--log-level",
        choices=values.LOG_LEVELS,
        help="least severe log records to print on standard error (default: info; "
        "with --quiet: error)",
    )
    parser.add_argument(
        "--log-format",
        choices=("text", "json"),
        default="text",
        help="json for one JSON object a line (default: text)",
    )
    parser.add_argument(
        "--quiet", action="store_true", help="print the URL, errors and nothing else"
    )
    parser.set_defaults(run=run, parser=parser)


def _add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument(
        "--port",
        type=values.port,
        help="TCP port to listen on; 0 lets the system choose (default: 8000, chat: 8001)",
    )
    parser.add_argument("--uds", metavar="PATH", help="Unix socket to listen on instead")
    parser.add_argument("--fd", metavar="N", type=int, help="inherited socket to listen on instead")


def run(arguments: argparse.Namespace) -> int:
    """Serves until a signal comes.

    Args:
        arguments: As :func:`add_parser` declares them.

    Returns:
        The exit code.

    Raises:
        Failure: If the target can't be found or nothing can listen there.
        SystemExit: With code 2 if the arguments contradict each other.
    """
    _check(arguments)

    def announce(url: str) -> None:
        say(url)
        # Not earlier: nothing is to be printed before the URL.
        _set_up_log(arguments)

    if _is_folder(arguments):
        applications.refuse_arguments(arguments)
        # Here, since it imports another package's exceptions where that is installed.
        from duologue.cli.handlers import run_folder

        run_folder(arguments, announce)
        return 0
    if arguments.workers > 1:
        if arguments.target in ("echo", "chat"):
            applications.refuse_arguments(arguments)
        return applications.run_applications(
            lambda: _only_application(arguments),
            arguments,
            announce,
            lambda: _set_up_log(arguments),
        )
    app = _application(arguments)
    if app is not None:
        applications.run_application(app, arguments, announce)
        return 0
    applications.refuse_arguments(arguments)
    if arguments.host is None:
        arguments.host = "127.0.0.1"
    if arguments.port is None:
        arguments.port = 8001 if arguments.target == "chat" else 8000

    tls = certificates.server_tls(arguments)
    run_until_stopped(
        _service(arguments),
        arguments,
        announce,
        tls=tls,
        max_size=DEFAULT_LIMITS.max_size if arguments.max_size is ... else arguments.max_size,
        compression=None if arguments.no_compression else "deflate",
    )
    return 0


def _check(arguments: argparse.Namespace) -> None:
    error = arguments.parser.error
    tcp = arguments.host is not None or arguments.port is not None
    if (arguments.uds is not None) + (arguments.fd is not None) + tcp > 1:
        error("--uds, --fd and --host/--port exclude each other")
    if arguments.greeting is not None and arguments.target != "echo":
        error("--greeting is for the echo only")
    known = arguments.target in ("echo", "chat") or targets.is_target(arguments.target)
    if not known and not _is_folder(arguments):
        error(
            "TARGET must be echo, chat or module:attribute, or a folder that is there, "
            f"not {arguments.target!r}"
        )


def _is_folder(arguments: argparse.Namespace) -> bool:
    # A folder of that name is ./echo.
    return arguments.target not in ("echo", "chat") and os.path.isdir(arguments.target)


def _application(arguments: argparse.Namespace) -> App | None:
    """Returns the application to serve, ``None`` if the target is none."""
    if arguments.target in ("echo", "chat"):
        return None
    value = targets.attribute(arguments.target)
    if arguments.factory or targets.is_factory(value):
        value = targets.made(arguments.target, value)
    if isinstance(value, App):
        if arguments.max_size is not ... or arguments.no_compression:
            arguments.parser.error("--max-size and --no-compression are for the App to set")
        return value
    if not applications.is_asgi(value):
        return None
    options: dict[str, Any] = {} if arguments.max_size is ... else {"max_size": arguments.max_size}
    return applications.hosted(
        value, compression=None if arguments.no_compression else "deflate", **options
    )


def _service(arguments: argparse.Namespace) -> targets.Service:
    if arguments.target == "echo":
        return targets.echo(arguments.greeting)
    if arguments.target == "chat":
        return targets.chat(_ignore if arguments.quiet else _log)
    return targets.imported(arguments.target)


def _only_application(arguments: argparse.Namespace) -> App:
    """Returns the application; a handler is none."""
    app = _application(arguments)
    if app is None:
        applications.refuse_arguments(arguments)
        raise Failure(f"{arguments.target} is no application")
    return app


def _set_up_log(arguments: argparse.Namespace) -> None:
    level: str = arguments.log_level or ("error" if arguments.quiet else "info")
    set_up_logging(level, arguments.log_format, "%(asctime)s %(levelname)s %(name)s: %(message)s")


def _log(line: str) -> None:
    say(escape(line))


def _ignore(line: str) -> None:
    pass
