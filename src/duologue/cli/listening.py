"""Where a server listens: TCP, a Unix socket or an inherited file descriptor, and TLS on top.

It turns arguments into sockets and URLs. It must never know what is served there.
"""

from __future__ import annotations

import argparse
import contextlib
import ipaddress
import os
import socket
import ssl
import stat
from collections.abc import Iterator, Sequence
from typing import Any

from duologue.cli.failure import Failure

__all__ = ["describe", "listener", "tls_context", "url"]


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
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as sock:
        try:
            _remove_stale(path)
            sock.bind(path)
        except OSError as error:
            raise Failure(f"cannot listen on {path}: {error.strerror or error}") from error
        ours = os.stat(path)
        try:
            yield sock
        finally:
            # Not if somebody has replaced it by now.
            with contextlib.suppress(OSError):
                if os.path.samestat(ours, os.stat(path)):
                    os.unlink(path)


def _remove_stale(path: str) -> None:
    """Removes what a server that was killed has left, but never what is in use."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise Failure(f"cannot listen on {path}: it exists and is not a socket")
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        else:
            raise Failure(f"cannot listen on {path}: another server listens there")


def tls_context(certfile: str | None, keyfile: str | None) -> ssl.SSLContext | None:
    """Makes the TLS settings of a server.

    Args:
        certfile: PEM file with the certificate and those that lead to its authority; ``None`` for
            no TLS.
        keyfile: PEM file with the private key; ``None`` if ``certfile`` holds it.

    Raises:
        Failure: If a file can't be read, or they don't fit together.
    """
    if certfile is None:
        return None
    for path in filter(None, (certfile, keyfile)):
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            raise Failure(f"cannot read {path}: {error.strerror}") from error
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])

    def no_password() -> str:
        # Otherwise OpenSSL would ask on the terminal, where nobody may be.
        raise Failure(f"the private key in {keyfile or certfile} is encrypted: decrypt it first")

    try:
        context.load_cert_chain(certfile, keyfile, password=no_password)
    except ssl.SSLError as error:
        files = certfile if keyfile is None else f"{certfile} with {keyfile}"
        why = (error.reason or str(error)).lower().replace("_", " ")
        raise Failure(f"cannot use {files} as certificate and private key: {why}") from error
    return context


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
