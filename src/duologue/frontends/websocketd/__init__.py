"""Any program that speaks lines on its standard streams as a WebSocket server, as websocketd does.

``duologue run`` is its command line. Each connection runs a program; what it writes is sent line by
line, what the client sends it reads line by line.

=====================================  ==========================================================
module                                 what it knows
=====================================  ==========================================================
``flags``, ``options``, ``config``     the command line
``visit``, ``deciding``, ``origins``   a request, and what becomes of it; no I/O but to find files
``environment``, ``framing``           what a program is given, and how it is understood; sans-I/O
``program``, ``spawning``, ``errors``  a running program, and what it complains of
``leftover``, ``warden``               that nothing is left of it, or how much
``session``, ``relay``                 messages between a client and its program
``share``, ``pace``                    one program for all, and time between things
``static``, ``cgi``, ``console``       plain HTTP
``site``, ``serving``                  all of it behind listening sockets
=====================================  ==========================================================

Where websocketd is unsafe or loses something, this does better unless ``--strict-compat`` is given;
``docs/coming-from/websocketd.md`` lists the differences.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from duologue.frontends.websocketd.config import Config
from duologue.frontends.websocketd.log import Log, Records
from duologue.frontends.websocketd.options import Stop, read

__all__ = ["CannotListen", "Config", "Log", "Records", "Stop", "read", "run"]

if TYPE_CHECKING:
    from duologue.frontends.websocketd.serving import CannotListen, run


def __getattr__(name: str) -> Any:
    # Imported when it is needed: the command line can be read where no program can be run.
    if name not in ("CannotListen", "run"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.serving"), name)
