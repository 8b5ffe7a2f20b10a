"""The arguments of ``duologue bench``, and what they come to."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from duologue.cli import values
from duologue.cli.bench.plan import Plan, Way
from duologue.cli.bench.schedule import WAITING
from duologue.cli.certificates import read_tls
from duologue.cli.connect.options import read_headers, read_subprotocols
from duologue.cli.failure import Failure, system_text
from duologue.wire.uri import parse_uri

__all__ = ["DESCRIPTION", "declare", "make_plan"]

DURATION = 10.0
"""Seconds of measuring unless ``--duration`` or ``--messages`` says otherwise."""

DESCRIPTION = f"""\
Load a server that echoes, and measure it: each message is compared with its echo.

Without --rate each connection sends its next message when an answer comes (closed
loop): how many messages a second? With --rate messages are due at fixed times (open
loop), and latencies begin then, also while the server stands still: how long do
answers take at that load?

Ctrl-C ends it early and prints what there is. Latencies are within 0.8 %; an open
loop has at most {WAITING} messages of a connection unanswered, others wait for their turn.

exit codes:
  0  every message was answered, and every answer was right
  1  not so, or there was nothing to measure
  2  wrong usage
"""


def declare(parser: argparse.ArgumentParser) -> None:
    """Declares them.

    Args:
        parser: What to add them to.
    """
    parser.add_argument("url", metavar="URL", help="address of the server: ws://… or wss://…")
    _declare_load(parser.add_argument_group("the load"))
    _declare_messages(parser.add_argument_group("the messages"))
    _declare_way(parser.add_argument_group("the way to the server"))
    parser.add_argument(
        "--json", metavar="FILE", help="write the result to FILE as JSON, '-' for standard output"
    )


def _declare_load(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "-c",
        "--connections",
        type=values.count,
        default=10,
        metavar="N",
        help="connections (default: %(default)s)",
    )
    add(
        "-d",
        "--duration",
        type=values.seconds,
        metavar="SECONDS",
        help=f"time to measure (default: {DURATION:g}, or as long as --messages takes)",
    )
    add(
        "-n",
        "--messages",
        type=values.count,
        metavar="N",
        help="messages to send in all; ends when they are answered",
    )
    add(
        "--rate",
        type=_rate,
        metavar="N",
        help="open loop: messages due each second, of all connections together",
    )
    add(
        "--in-flight",
        type=values.count,
        metavar="N",
        help="closed loop: unanswered messages of each connection (default: 1)",
    )
    add(
        "--warm-up",
        type=values.seconds,
        default=0.0,
        metavar="SECONDS",
        help="time of load before anything is measured (default: none)",
    )
    add(
        "--ramp",
        type=_rate,
        metavar="N",
        help="connections to open each second (default: as quick as it goes)",
    )
    add(
        "--processes",
        type=values.count,
        default=1,
        metavar="N",
        help="processes that share the load; one uses one core (default: %(default)s)",
    )


def _declare_messages(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("-s", "--size", type=_size, metavar="BYTES", help="bytes in each message (default: 32)")
    kinds = group.add_mutually_exclusive_group()
    kinds.add_argument("--binary", action="store_true", help="send binary messages")
    kinds.add_argument("--text", action="store_true", help="send text messages (the default)")
    add(
        "--payload",
        metavar="FILE",
        help="send the contents of FILE, all messages alike, so that their order can't be checked",
    )


def _declare_way(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "-H",
        "--header",
        metavar="NAME:VALUE",
        action="append",
        default=[],
        help="add a header to each request; may be repeated",
    )
    add("-o", "--origin", metavar="ORIGIN", help="send an Origin header")
    add(
        "--subprotocol",
        metavar="NAME",
        action="append",
        default=[],
        help="offer a subprotocol, or several with commas between; may be repeated",
    )
    add("--auth", metavar="USER:PASSWORD", help="send credentials (Basic authentication)")
    add("-k", "--insecure", action="store_true", help="accept any certificate")
    add("--ca", metavar="FILE", help="trust the authorities in FILE (PEM) and no others")
    add("--cert", metavar="FILE", help="certificate of the client (PEM)")
    add("--key", metavar="FILE", help="its private key, unless the certificate's file has it")
    add(
        "--proxy",
        metavar="URL",
        help="go through a proxy; 'none' to go directly (default: what the environment says)",
    )
    add("--compression", action="store_true", help="offer permessage-deflate (default: not)")


def make_plan(arguments: argparse.Namespace) -> Plan:
    """Returns what the arguments ask for.

    Args:
        arguments: As :func:`declare` declares them.

    Raises:
        InvalidURI: If the URL isn't one.
        ValueError: If another value can't be what it should be, or two exclude each other.
        Failure: If a file can't be used.
    """
    parse_uri(arguments.url)
    if arguments.rate is not None and arguments.in_flight is not None:
        raise ValueError("--in-flight is for closed loops, --rate for open ones")
    if arguments.payload is not None and arguments.size is not None:
        raise ValueError("--payload and --size exclude each other")
    read_tls(arguments)  # what is wrong with files is told before anything is sent
    payload = None if arguments.payload is None else _read(arguments.payload, arguments.binary)
    duration: float | None = arguments.duration
    if duration is None and arguments.messages is None:
        duration = DURATION
    return Plan(
        way=_way(arguments),
        connections=arguments.connections,
        duration=duration,
        messages=arguments.messages,
        size=32 if arguments.size is None else arguments.size,
        payload=payload,
        text=not arguments.binary,
        in_flight=arguments.in_flight or 1,
        rate=arguments.rate,
        warm_up=arguments.warm_up,
        ramp=arguments.ramp,
    )


def _way(arguments: argparse.Namespace) -> Way:
    return Way(
        url=arguments.url,
        headers=tuple(read_headers(arguments.header, arguments.auth).raw_items()),
        origin=arguments.origin,
        subprotocols=tuple(read_subprotocols(arguments.subprotocol)),
        insecure=arguments.insecure,
        ca=arguments.ca,
        cert=arguments.cert,
        key=arguments.key,
        proxy=arguments.proxy,
        compress=arguments.compression,
    )


def _read(place: str, binary: bool) -> bytes:
    try:
        octets = Path(place).read_bytes()
    except OSError as error:
        raise Failure(f"cannot read {place}: {system_text(error)}") from error
    if not binary:
        try:
            octets.decode()
        except UnicodeDecodeError as error:
            raise Failure(f"{place} is not UTF-8: {error}; --binary sends it as it is") from None
    return octets


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number for each second")
    return value


def _size(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 1 << 30):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of bytes up to 1 GiB")
    return int(text)
