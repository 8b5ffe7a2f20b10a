"""Where a server listens: TCP, a Unix socket or an inherited file descriptor.

It turns arguments into sockets and URLs. It must never know what is served there.
"""

from __future__ import annotations

import argparse
import contextlib
import ipaddress
import os
import socket
from collections.abc import Iterator, Sequence
from typing import Any

from duologue.cli.failure import Failure
from duologue.frontends.unix import unix_listener

__all__ = ["describe", "listener", "url"]


def describe(arguments: argparse.Namespace) -> str:
    """Names the place a server is asked to listen at, for messages.

    Args:
        arguments: With ``host``, ``port``, ``uds`` and ``fd``.
    """
    if arguments.uds is not None:
        return str(arguments.uds)
    if arguments.fd is not None:
        return f"file descriptor {arguments.fd}"
    return f"{_bracketed(arguments.host)}:{arguments.port}"


@contextlib.contextmanager
def listener(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Gives the options that make :func:`duologue.asyncio.server.serve` listen at a place.

    Args:
        arguments: With ``host``, ``port``, ``uds`` and ``fd``.

    Raises:
        Failure: If nothing can listen there.
    """
    if arguments.uds is not None:
        with _unix_socket(arguments.uds) as sock:
            yield {"sock": sock}
    elif arguments.fd is not None:
        yield {"sock": _inherited_socket(arguments.fd)}
    else:
        yield {"host": arguments.host, "port": arguments.port}


def _inherited_socket(fd: int) -> socket.socket:
    try:
        sock = socket.socket(fileno=fd)
    except OSError as error:
        raise Failure(f"cannot listen on file descriptor {fd}: {error.strerror}") from error
    if sock.type != socket.SOCK_STREAM:
        raise Failure(f"cannot listen on file descriptor {fd}: not a stream socket")
    return sock


@contextlib.contextmanager
def _unix_socket(path: str) -> Iterator[socket.socket]:
    if not hasattr(socket, "AF_UNIX"):
        raise Failure(f"cannot listen on {path}: this system has no Unix sockets")
    with contextlib.ExitStack() as stack:
        try:
            sock = stack.enter_context(unix_listener(path))
        except OSError as error:
            raise Failure(f"cannot listen on {path}: {error.strerror or error}") from error
        yield sock


def url(scheme: str, arguments: argparse.Namespace, sockets: Sequence[socket.socket]) -> str:
    """Returns the URL of a server that listens.

    Args:
        scheme: ``ws``, ``wss``, ``http`` or ``https``.
        arguments: With ``host``, ``uds`` and ``fd``.
        sockets: Those that it listens on. With several, the first one's port counts.

    Returns:
        A URL that leads there from this machine: where all addresses are listened on, it names the
        loopback address. For a Unix socket, which URLs of the standards can't name, the path
        follows the scheme, as in ``ws+unix:/run/echo.sock``.
    """
    name = sockets[0].getsockname()
    if not isinstance(name, tuple):
        path = name.decode() if isinstance(name, bytes) else name
        return f"{scheme}+unix:{os.path.abspath(path)}"
    host = name[0] if arguments.fd is not None else arguments.host
    return f"{scheme}://{_bracketed(_reachable(host))}:{name[1]}/"


def _reachable(host: str) -> str:
    if not host:
        return "127.0.0.1"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        return "127.0.0.1" if address.version == 4 else "::1"
    return host


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
