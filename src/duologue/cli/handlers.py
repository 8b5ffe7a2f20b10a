"""``duologue serve DIR``: a folder of pywebsocket's handlers."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from duologue.base.limits import DEFAULT_LIMITS
from duologue.cli import certificates
from duologue.cli.failure import Failure, system_text
from duologue.frontends.pywebsocket import CannotListen, Config, DispatchException
from duologue.frontends.pywebsocket.standalone import run

__all__ = ["run_folder"]


def run_folder(arguments: argparse.Namespace, announce: Callable[[str], object]) -> None:
    """Serves a folder's handlers until a signal comes.

    Args:
        arguments: Of ``duologue serve``.
        announce: Called with the URL once the server listens.

    Raises:
        Failure: If nothing can listen there.
        SystemExit: With code 2 if there are arguments that aren't for a folder.
    """
    if arguments.uds is not None or arguments.fd is not None:
        arguments.parser.error("--uds and --fd are not for a folder of handlers")
    host = "127.0.0.1" if arguments.host is None else arguments.host
    tls = certificates.server_tls(arguments)
    config = Config(
        hosts=(host,),
        port=8000 if arguments.port is None else arguments.port,
        handlers=arguments.target,
        handler_encoding="utf-8",
        document_root=None,
        tls=tls,
        max_size=DEFAULT_LIMITS.max_size if arguments.max_size is ... else arguments.max_size,
        compression=not arguments.no_compression,
    )
    scheme = "ws" if tls is None else "wss"

    def listening(port: int) -> None:
        shown = f"[{host}]" if ":" in host else host or "127.0.0.1"
        announce(f"{scheme}://{shown}:{port}/")

    try:
        run(config, listening)
    except (CannotListen, DispatchException) as error:
        raise Failure(str(error)) from error
    except OSError as error:
        raise Failure(f"cannot serve {arguments.target}: {system_text(error)}") from error
