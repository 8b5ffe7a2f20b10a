"""``python -m duologue.frontends.pywebsocket.standalone -p 9998 -w DIR``: pywebsocket's server.

The process goes to the document root first, as the original does: paths in other options, and in
handlers, are relative to it.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from types import FrameType

from duologue.frontends.pywebsocket import names, options
from duologue.frontends.pywebsocket.config import Config
from duologue.frontends.pywebsocket.exceptions import DispatchException
from duologue.frontends.pywebsocket.server import CannotListen, Server, find_handlers

__all__ = ["main", "run"]


def run(config: Config, announce: Callable[[int], object] = lambda port: None) -> None:
    """Serves until SIGINT or SIGTERM comes; a second one ends the process at once.

    To be called in the main thread.

    Args:
        config: How.
        announce: Called with the port once the server listens.

    Raises:
        DispatchException: If the handlers' directory can't be used.
        CannotListen: If nothing can listen there.
        OSError: If the file of aliases can't be read.
    """
    with names.taken():
        server = Server(config, find_handlers(config))

        def stop(number: int, frame: FrameType | None) -> None:
            signal.signal(number, signal.SIG_DFL)
            server.shutdown()

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            server.listen()
            announce(server.port)
            server.serve_forever()
        finally:
            server.close()
            for number, handler in before.items():
                signal.signal(number, handler)


def main(words: Sequence[str] | None = None) -> int:
    """Does what the command line says.

    Args:
        words: The command line; ``None`` for the process's.

    Returns:
        The exit code.
    """
    found = options.read(words)
    try:
        os.chdir(found.document_root)
        options.configure_logging(found)
    except OSError as error:
        logging.critical("%s", error)
        return 1
    interval = found.thread_monitor_interval_in_sec
    if interval > 0:
        threading.Thread(
            target=options.monitor_threads,
            args=(interval, threading.Event()),
            name="ThreadMonitor",
            daemon=True,
        ).start()
    try:
        run(options.build_config(found))
    except (DispatchException, CannotListen, OSError) as error:
        logging.critical("pywebsocket3: %s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
