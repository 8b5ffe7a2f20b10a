"""TLS as arguments say it: certificates of a server, and what a client trusts and shows.

What is wrong with a file is told in one line that names it.
"""

from __future__ import annotations

import argparse
import getpass
import ssl
import sys
from collections.abc import Callable

from duologue.cli.failure import Failure, certificate_text, system_text
from duologue.cli.terminal import at_terminal

__all__ = ["add_arguments", "read_tls", "server_context", "server_tls"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of a server for TLS, which :func:`server_tls` reads.

    Args:
        parser: What to add them to.
    """
    parser.add_argument("--ssl-certfile", metavar="FILE", help="certificate chain; turns on TLS")
    parser.add_argument(
        "--ssl-keyfile", metavar="FILE", help="private key, unless the certificate's file has it"
    )


def server_tls(arguments: argparse.Namespace) -> ssl.SSLContext | None:
    """Reads what a server is told about TLS.

    Args:
        arguments: With ``parser`` and what :func:`add_arguments` declares.

    Returns:
        The settings; ``None`` for no TLS.

    Raises:
        Failure: If a file can't be read, or they don't fit together.
        SystemExit: With code 2 if there is a key without a certificate.
    """
    if arguments.ssl_certfile is not None:
        return server_context(arguments.ssl_certfile, arguments.ssl_keyfile)
    if arguments.ssl_keyfile is not None:
        arguments.parser.error("--ssl-keyfile needs --ssl-certfile")
    return None


def server_context(certfile: str, keyfile: str | None) -> ssl.SSLContext:
    """Makes the TLS settings of a server.

    Args:
        certfile: PEM file with the certificate and those that lead to its authority.
        keyfile: PEM file with the private key; ``None`` if ``certfile`` holds it.

    Raises:
        Failure: If a file can't be read, or they don't fit together.
    """
    _check_readable(certfile, keyfile)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    # No password: otherwise OpenSSL would ask on the terminal, where nobody may be.
    _load(context, certfile, keyfile, lambda: None)
    return context


def read_tls(arguments: argparse.Namespace) -> ssl.SSLContext | None:
    """Reads what a client is told about TLS.

    Args:
        arguments: With ``insecure``, ``ca``, ``cert`` and ``key``.

    Returns:
        The settings; ``None`` if nothing is said.

    Raises:
        ValueError: If there is a key without a certificate.
        Failure: If a file can't be read or used.
    """
    if arguments.key is not None and arguments.cert is None:
        raise ValueError("--key needs --cert")
    if not (arguments.insecure or arguments.ca or arguments.cert):
        return None
    _check_readable(arguments.ca, arguments.cert, arguments.key)
    try:
        context = ssl.create_default_context(cafile=arguments.ca)
    except ssl.SSLError as error:
        raise Failure(f"{arguments.ca} holds no certificates (PEM)") from error
    context.set_alpn_protocols(["http/1.1"])
    if arguments.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if arguments.cert is not None:
        prompt = f"password of the private key in {arguments.key or arguments.cert}: "

        def ask() -> str | None:
            return getpass.getpass(prompt) if at_terminal(sys.stdin) else None

        _load(context, arguments.cert, arguments.key, ask)
    return context


def _check_readable(*paths: str | None) -> None:
    for path in filter(None, paths):
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            raise Failure(f"cannot read {path}: {system_text(error)}") from error


def _load(
    context: ssl.SSLContext, cert: str, key: str | None, ask: Callable[[], str | None]
) -> None:
    """Has a context show a certificate; `ask` gives the password, or None if nobody can."""

    def password() -> str:
        given = ask()
        if given is None:
            raise Failure(f"the private key in {key or cert} is encrypted: decrypt it first")
        return given

    try:
        context.load_cert_chain(cert, key, password=password)
    except ssl.SSLError as error:
        files = cert if key is None else f"{cert} with {key}"
        why = certificate_text(error)
        raise Failure(f"cannot use {files} as certificate and private key: {why}") from error
