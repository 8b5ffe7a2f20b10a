"""``duologue serve``: serves the echo, the chat or a handler of one's own."""

from __future__ import annotations

import argparse
import logging

from duologue.base.limits import DEFAULT_LIMITS
from duologue.cli import listening, targets, values
from duologue.cli.serving import run_until_stopped
from duologue.cli.terminal import escape, say

__all__ = ["add_parser", "run"]

_DESCRIPTION = """\
Serve WebSockets until interrupted; then close them with code 1001 (going away).
The first line printed is the URL.

targets:
  echo              sends every message back; its page is for trying it in a browser
  chat              sends every text to everybody
  module:attribute  a handler: an async function that takes the connection
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declares the arguments of the subcommand.

    Args:
        subparsers: What to add its parser to.
    """
    parser = subparsers.add_parser(
        "serve",
        help="serve the echo, the chat or your own handler",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("target", metavar="TARGET", help="echo, chat or module:attribute")
    _add_place(parser)
    _add_tls(parser)
    parser.add_argument(
        "--max-size",
        metavar="BYTES",
        type=values.size,
        default=DEFAULT_LIMITS.max_size,
        help="largest message accepted; 'none' lifts the limit (default: %(default)s)",
    )
    parser.add_argument(
        "--no-compression", action="store_true", help="don't negotiate permessage-deflate"
    )
    parser.add_argument("--greeting", metavar="TEXT", help="what the echo says first")
    parser.add_argument(
        "--log-level",
        choices=values.LOG_LEVELS,
        help="least severe log records to print on standard error (default: info; "
        "with --quiet: error)",
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


def _add_tls(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ssl-certfile", metavar="FILE", help="certificate chain; turns on TLS")
    parser.add_argument(
        "--ssl-keyfile", metavar="FILE", help="private key, unless the certificate's file has it"
    )


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
    if arguments.host is None:
        arguments.host = "127.0.0.1"
    if arguments.port is None:
        arguments.port = 8001 if arguments.target == "chat" else 8000

    def announce(url: str) -> None:
        say(url)
        # Not earlier: nothing is to be printed before the URL.
        _log_from(arguments.log_level or ("error" if arguments.quiet else "info"))

    tls = listening.tls_context(arguments.ssl_certfile, arguments.ssl_keyfile)
    run_until_stopped(
        _service(arguments),
        arguments,
        announce,
        tls=tls,
        max_size=arguments.max_size,
        compression=None if arguments.no_compression else "deflate",
    )
    return 0


def _check(arguments: argparse.Namespace) -> None:
    error = arguments.parser.error
    tcp = arguments.host is not None or arguments.port is not None
    if (arguments.uds is not None) + (arguments.fd is not None) + tcp > 1:
        error("--uds, --fd and --host/--port exclude each other")
    if arguments.ssl_keyfile is not None and arguments.ssl_certfile is None:
        error("--ssl-keyfile needs --ssl-certfile")
    if arguments.greeting is not None and arguments.target != "echo":
        error("--greeting is for the echo only")
    if arguments.target not in ("echo", "chat") and not targets.is_target(arguments.target):
        error(f"TARGET must be echo, chat or module:attribute, not {arguments.target!r}")


def _service(arguments: argparse.Namespace) -> targets.Service:
    if arguments.target == "echo":
        return targets.echo(arguments.greeting)
    if arguments.target == "chat":
        return targets.chat(_ignore if arguments.quiet else _log)
    return targets.imported(arguments.target)


def _log_from(level: str) -> None:
    logging.basicConfig(
        level=level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )


def _log(line: str) -> None:
    say(escape(line))


def _ignore(line: str) -> None:
    pass
