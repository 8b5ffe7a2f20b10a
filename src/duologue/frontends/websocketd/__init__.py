"""Any program that speaks lines on its standard streams as a WebSocket server, as websocketd does.

``duologue run`` is its command line. Each connection runs a program; what it writes is sent line by
line, what the client sends it reads line by line.

=====================================  ==========================================================
module                                 what it knows
=====================================  ==========================================================
``flags``, ``options``, ``config``     the command line
``visit``, ``deciding``, ``origins``   a request, and what becomes of it; no I/O but to find files
``environment``, ``framing``           what a program is given, and how it is understood; sans-I/O
``pipes``, ``program``, ``warden``     a running program, and that nothing is left of it
``session``, ``share``, ``pace``       messages between clients and programs
``static``, ``cgi``, ``console``       plain HTTP
``site``, ``serving``                  all of it behind listening sockets
=====================================  ==========================================================

Where websocketd is unsafe or loses something, this does better unless ``--strict-compat`` is given;
``docs/coming-from/websocketd.md`` lists the differences.
"""

from __future__ import annotations

from duologue.frontends.websocketd.config import Config
from duologue.frontends.websocketd.log import Log
from duologue.frontends.websocketd.options import Stop, read
from duologue.frontends.websocketd.serving import CannotListen, run

__all__ = ["CannotListen", "Config", "Log", "Stop", "read", "run"]
