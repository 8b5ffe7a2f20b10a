"""One prepared message to many connections, without waiting for any of them.

Costs a connection that can take the message a reference to a frame, and a place among those that
write at the end of the turn. One that cannot take it now queues a reference to the message, counted
by its octets against ``Limits.max_outbox``.

Knows nothing of topics, nor of what is done about failures.
"""

from duologue.connection.connection cimport Connection
from duologue.connection.prepared cimport Prepared


cpdef list fan_out(Prepared message, list connections, object exclude=None):
    """Offer a message to connections; those that are not open are passed over.

    Args:
        message: shared by all of them.
        connections: the list must not change meanwhile.
        exclude: one of them that is passed over, if any.

    Returns:
        list[tuple[Connection, Exception]]: whose message could not be written, and why; ``None``
        when all went well.

    Raises:
        TypeError: If something else than connections is in the list; those before it have it.
    """
    cdef list failures = None
    for each in connections:
        if each is exclude:
            continue
        if not isinstance(each, Connection):
            raise TypeError(f"broadcast needs connections, not {each!r}")
        try:
            (<Connection>each).offer_prepared(message)
        except Exception as exc:
            if failures is None:
                failures = []
            failures.append((each, exc))
    message.forget_joined()
    return failures
