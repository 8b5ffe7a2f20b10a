"""``duologue demo``: a web site whose pages talk to the server they came from."""

from __future__ import annotations

import argparse
import logging
from urllib.parse import urlsplit

from duologue.cli import certificates, values
from duologue.cli.applications import run_application
from duologue.cli.terminal import escape, say
from duologue.frontends.demo import Demo, served_schemes
from duologue.net.engine import PROVEN, backend

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
        "With a certificate its port serves https and wss as well as http and ws.",
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
    certificates.add_arguments(parser)
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
    tls = certificates.server_tls(arguments)
    logging.basicConfig(level=logging.WARNING)
    # Where there are no sockets of the engine's own, TLS has the port for itself.
    both = tls is not None and backend() == PROVEN
    demo = Demo(_log, schemes=served_schemes(tls is not None, both))

    def announce(url: str) -> None:
        say(url)
        demo.chat.listening(urlsplit(url).port or 0)

    run_application(demo.app, arguments, announce, {"ssl": tls, "ssl_optional": both})
    return 0


def _log(line: str) -> None:
    say(escape(line))
