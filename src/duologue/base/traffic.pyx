"""How much has gone through this process: plain C counters, which only grow.

Changed only by a thread that has the GIL, like the accounts. A forked child begins at 0.

Must never know asyncio, links, or WebSocket.
"""

import collections
import os

cdef Traffic counted

Counts = collections.namedtuple(
    "Counts",
    "messages_received messages_sent octets_received octets_sent uncompressed compressed",
)
Counts.__doc__ = """What has gone through this process so far.

Attributes:
    messages_received: whole messages of peers, text and binary.
    messages_sent: messages that were framed; of what is published, one for each subscriber.
    octets_received: of sockets, those of handshakes and plain HTTP included; within TLS.
    octets_sent: the same, as far as the operating system took them.
    uncompressed: octets of messages that were compressed, before; a published one counts once.
    compressed: the same, afterwards.
"""


def traffic():
    """Return the counters as they are now; see :class:`Counts`."""
    return Counts(
        counted.messages_received,
        counted.messages_sent,
        counted.octets_received,
        counted.octets_sent,
        counted.uncompressed,
        counted.compressed,
    )


def _begin_anew():
    counted.messages_received = counted.messages_sent = 0
    counted.octets_received = counted.octets_sent = 0
    counted.uncompressed = counted.compressed = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
