"""``duologue demo``: a web site whose pages talk to the server they came from."""

from __future__ import annotations

import argparse
import logging

from duologue.cli import listening, values
from duologue.cli.serving import run_until_stopped
from duologue.cli.targets import Service
from duologue.cli.terminal import escape, say
from duologue.frontends.demo import MAX_SIZE, Demo

__all__ = ["add_parser", "run"]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declares the arguments of the subcommand.

    Args:
        subparsers: What to add its parser to.
    """
    parser = subparsers.add_parser(
        "demo",
        help="serve the demo's pages",
        description="Serve the demo: open the URL it prints in a browser. "
        "WebSockets on / join the chat, on /echo they get an echo. "
        "With a certificate it is served with https and wss.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: %(default)s)"
    )
    parser.add_argument(
        "--port",
        type=values.port,
        default=8001,
        help="TCP port to listen on; 0 lets the system choose (default: %(default)s)",
    )
    parser.add_argument("--ssl-certfile", metavar="FILE", help="certificate chain; turns on TLS")
    parser.add_argument(
        "--ssl-keyfile", metavar="FILE", help="private key, unless the certificate's file has it"
    )
    parser.set_defaults(run=run, parser=parser, uds=None, fd=None)


def run(arguments: argparse.Namespace) -> int:
    """Serves the demo until a signal comes.

    Args:
        arguments: As :func:`add_parser` declares them.

    Returns:
        The exit code.

    Raises:
        Failure: If nothing can listen there, or the certificate can't be used.
        SystemExit: With code 2 if the arguments contradict each other.
    """
    if arguments.ssl_keyfile is not None and arguments.ssl_certfile is None:
        arguments.parser.error("--ssl-keyfile needs --ssl-certfile")
    logging.basicConfig(level=logging.WARNING)
    tls = listening.tls_context(arguments.ssl_certfile, arguments.ssl_keyfile)
    demo = Demo(_log)
    service = Service(demo.handler, listening=demo.chat.listening)
    run_until_stopped(
        service, arguments, say, tls=tls, scheme="http", max_size=MAX_SIZE, **demo.options()
    )
    return 0


def _log(line: str) -> None:
    say(escape(line))
