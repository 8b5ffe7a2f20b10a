"""The topics of one process: who is subscribed to what, and the way of a message to all of them.

A topic exists while it has a subscriber. A message looks its topic up once and is then offered to
each subscriber as :mod:`duologue.connection.fanout` does, with nothing in between: no call of
Python code for each of them. Filters cost something only while there are any.

Knows neither limits nor other processes. Invariant: no topic here is empty.
"""

cimport cython

from duologue.connection.fanout cimport fan_out
from duologue.connection.prepared cimport Prepared

from duologue.hub.names import Filters, is_filter


@cython.final
@cython.auto_pickle(False)
cdef class Topic:
    """A name or filter, and its subscribers in the order in which they came.

    Args:
        name: as subscribed to.
    """

    def __cinit__(self, str name not None):
        self.name = name
        self.subscribers = {}

    def __len__(self):
        return len(self.subscribers)

    def members(self):
        """Each subscriber and what it tells of itself, as pairs."""
        return list(self.subscribers.items())


@cython.final
@cython.auto_pickle(False)
cdef class Topics:
    """All topics with a subscriber in this process."""

    def __cinit__(self):
        self.known = {}
        self.filters = None

    def __len__(self):
        return len(self.known)

    def names(self):
        """All of them, names and filters."""
        return list(self.known)

    def find(self, str name):
        """Return the topic of exactly this name, ``None`` if nobody is subscribed to it."""
        return self.known.get(name)

    def add(self, str name not None, subscriber, presence):
        """Subscribe somebody who is not subscribed yet; return the topic."""
        cdef Topic topic = self.known.get(name)
        if topic is None:
            topic = self.known[name] = Topic(name)
            if is_filter(name):
                if self.filters is None:
                    self.filters = Filters()
                self.filters.add(name)
        topic.subscribers[subscriber] = presence
        return topic

    def remove(self, Topic topic not None, subscriber):
        """Unsubscribe somebody who is subscribed."""
        del topic.subscribers[subscriber]
        if topic.subscribers:
            return
        del self.known[topic.name]
        if self.filters is not None and is_filter(topic.name):
            self.filters.discard(topic.name)
            if not self.filters:
                self.filters = None

    cdef list receivers(self, str name):
        """Everybody whom a message reaches, each once; ``None`` for nobody."""
        cdef Topic topic = self.known.get(name)
        cdef Topic matching
        cdef dict everybody
        if self.filters is None:
            return None if topic is None else list(topic.subscribers)
        everybody = {} if topic is None else dict(topic.subscribers)
        for found in self.filters.matching(name):
            matching = self.known[found]
            everybody.update(matching.subscribers)
        return list(everybody) if everybody else None

    def reach(self, str name not None):
        """How many would get what is published to this name, or are subscribed to this filter."""
        cdef list receivers
        if self.filters is not None and is_filter(name):
            return len(self.known.get(name, ()))
        receivers = self.receivers(name)
        return 0 if receivers is None else len(receivers)

    def wants(self, str name not None):
        """Tell whether anybody would get what is published to this name."""
        if name in self.known:
            return True
        return self.filters is not None and next(self.filters.matching(name), None) is not None

    def deliver(self, str name not None, Prepared message not None, exclude=None):
        """Offer a message to everybody whom it reaches; nothing waits.

        Args:
            name: without wildcards.
            message: shared by all of them.
            exclude: a connection that does not get it.

        Returns:
            list[tuple[Connection, Exception]]: whose message could not be written, and why;
            ``None`` when all went well.
        """
        cdef list receivers = self.receivers(name)
        if receivers is None:
            return None
        return fan_out(message, receivers, exclude)
