"""``duologue demo``: a web site whose pages talk to the server they came from."""

from __future__ import annotations

import argparse
import logging
from urllib.parse import urlsplit

from duologue.app.application import App
from duologue.app.workers.running import check_workers
from duologue.app.workers.supervisor import supported
from duologue.cli import certificates, values
from duologue.cli.applications import run_application, run_applications
from duologue.cli.failure import Failure
from duologue.cli.terminal import escape, say
from duologue.frontends.chat import opening
from duologue.frontends.demo import Demo, served_schemes
from duologue.net.engine import PROVEN, backend

__all__ = ["add_parser", "run"]

WORKERS = 2
"""How many processes serve by default, for the chat to show that it is one chat nevertheless."""

DRAIN = 2.0
"""Seconds for visitors to take what waits for them in the end: nobody leaves anything important."""


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
        "Several processes serve its one port; the chat's page shows which. "
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
    parser.add_argument(
        "--workers",
        metavar="N",
        type=values.count,
        default=WORKERS if supported() else 1,
        help="processes that serve (default: %(default)s)",
    )
    certificates.add_arguments(parser)
    parser.set_defaults(run=run, parser=parser, uds=None, fd=None, worker_timeout=30.0)


def run(arguments: argparse.Namespace) -> int:
    """Serves the demo until a signal comes.

    Args:
        arguments: As :func:`add_parser` declares them.

    Returns:
        The exit code.

    Raises:
        Failure: If nothing can listen there, the certificate can't be used, or this system can't
            have several workers.
        SystemExit: With code 2 if the arguments contradict each other.
    """
    tls = certificates.server_tls(arguments)
    logging.basicConfig(level=logging.WARNING)
    # Where there are no sockets of the engine's own, TLS has the port for itself.
    both = tls is not None and backend() == PROVEN
    schemes = served_schemes(tls is not None, both)
    options = {"ssl": tls, "ssl_optional": both, "drain_timeout": DRAIN}

    def load() -> App:
        return Demo(_log, schemes=schemes, workers=arguments.workers).app

    def announce(url: str) -> None:
        say(url)
        say(opening(urlsplit(url).port or 0))

    if arguments.workers == 1:
        run_application(load(), arguments, announce, options)
        return 0
    try:
        check_workers(arguments.workers)
    except RuntimeError as error:
        raise Failure(str(error)) from error
    return run_applications(load, arguments, announce, options=options, at_once=True)


def _log(line: str) -> None:
    say(escape(line))
