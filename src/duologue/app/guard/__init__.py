"""Who may come, and who it is: rules, decisions about single requests, and authentication.

:mod:`.guard` judges by rules (origins, hosts, numbers, rates), :mod:`.upgrade` lets the application
decide about a request, :mod:`.auth` and :mod:`.tickets` find out who asks.
"""

from __future__ import annotations

from duologue.app.guard.auth import BasicAuth, BearerAuth, Denied, TicketAuth, first_message
from duologue.app.guard.guard import Admission, Facts, Guard, Refusal
from duologue.app.guard.tickets import InvalidTicket, Tickets
from duologue.app.guard.upgrade import UpgradeRequest

__all__ = [
    "Admission",
    "BasicAuth",
    "BearerAuth",
    "Denied",
    "Facts",
    "Guard",
    "InvalidTicket",
    "Refusal",
    "TicketAuth",
    "Tickets",
    "UpgradeRequest",
    "first_message",
]
