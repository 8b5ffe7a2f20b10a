"""Ordinary opening handshakes, recognised and answered without a parser.

Nearly every handshake is of one kind: it arrives at once, is valid beyond doubt, and asks for what
others asked for before. :class:`Upgrades` recognises that kind in one pass over the octets, and
answers it with octets that were made before, but for 28 of them.

Decisions are not made here. What is agreed with a client follows from three of its headers
(extensions, subprotocols, and the origin where origins are restricted); the first head with certain
values of these goes through `RequestParser` and `negotiate`, and what they say is remembered for
heads with the very same values. Answers are built by `switching_headers` and `Response`, once a
second. And all that is not certain is left to them: :meth:`Upgrades.judge` returns ``None``.

What it must never know: links, connections, time but for the date in an answer.

Invariants: a head that is recognised here is accepted by the general way, with the same answer;
what is remembered is bounded (``REMEMBERED`` triples of values of ``LONGEST_VALUES`` octets).

Sources: RFC 6455 section 4.2, RFC 9112 sections 2 to 5.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.stdint cimport uint8_t
from libc.string cimport memcmp, memset
from libc.time cimport time

from duologue.base.accounts cimport totals
from duologue.wire.deflate cimport PerMessageDeflate

from duologue.base.exceptions import InvalidHandshake
from duologue.protocol.handshake import negotiate, switching_headers
from duologue.wire.http11 import RequestParser, Response
from duologue.wire.permessage_deflate import ServerPerMessageDeflateFactory


cdef extern from "accept_key.h" nogil:
    Py_ssize_t KEY_LENGTH "DUOLOGUE_KEY_LENGTH"
    Py_ssize_t ACCEPT_LENGTH "DUOLOGUE_ACCEPT_LENGTH"
    void write_accept_key "duologue_accept_key"(const uint8_t* key, uint8_t* out) noexcept

REMEMBERED = 64
"""How many different sets of values are remembered at most; then all are forgotten."""
LONGEST_VALUES = 512
"""Octets that the values of a set may have together; longer ones are never remembered."""

cdef Py_ssize_t MOST_REMEMBERED = REMEMBERED
cdef Py_ssize_t MOST_OCTETS = LONGEST_VALUES
cdef bytes ACCEPT = b"\r\nSec-WebSocket-Accept: "

# What an octet may be part of.
cdef enum:
    NAME = 1
    VALUE = 2
    TARGET = 4
    HOST = 8
    KEY = 16

cdef uint8_t[256] kinds


cdef int note(bytes octets, uint8_t kind) except -1:
    for octet in octets:
        kinds[<int>octet] |= kind
    return 0


cdef bytes DIGITS = b"0123456789"
cdef bytes LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
note(LETTERS + DIGITS + b"-_", NAME)
note(bytes(range(0x20, 0x7F)), VALUE)
note(LETTERS + DIGITS + b"-._~:/?@!$&'()*+,;=%", TARGET)
note(LETTERS + DIGITS + b"-._", HOST)
note(LETTERS + DIGITS + b"+/", KEY)


# -- recognising


cdef bint same(const uint8_t* data, Py_ssize_t size, const char* word) noexcept nogil:
    """Whether ``data`` is ``word``, which is in lower case and ends with a zero, in any case."""
    cdef Py_ssize_t index
    cdef uint8_t octet
    for index in range(size):
        octet = data[index]
        if 65 <= octet <= 90:
            octet |= 32
        if octet != <uint8_t>word[index]:
            return False
    return word[size] == 0


cdef bint once(Span* span, Py_ssize_t at, Py_ssize_t size) noexcept nogil:
    """Note where a value lies; it may be there once, and not empty."""
    if span.size or size == 0:
        return False
    span.at = at
    span.size = size
    return True


cdef bint take_header(
    const uint8_t* data,
    Py_ssize_t name,
    Py_ssize_t length,
    Py_ssize_t at,
    Py_ssize_t size,
    Head* head,
) noexcept nogil:
    """Note a header that counts here; false if it makes the head anything but ordinary."""
    cdef const uint8_t* octets = data + name
    if length == 4 and same(octets, length, b"host"):
        return once(&head.host, at, size)
    if length == 6:
        if same(octets, length, b"origin"):
            return once(&head.origin, at, size)
        if same(octets, length, b"cookie"):
            head.cookie = True
        return not same(octets, length, b"expect")
    if length == 7:
        if same(octets, length, b"upgrade"):
            return once(&head.upgrade, at, size)
        return not same(octets, length, b"trailer")
    if length == 10 and same(octets, length, b"connection"):
        return once(&head.connection, at, size)
    if length == 14:
        return not same(octets, length, b"content-length")
    if length == 16:
        return not same(octets, length, b"proxy-connection")
    if length == 17:
        if same(octets, length, b"sec-websocket-key"):
            return once(&head.key, at, size)
        return not same(octets, length, b"transfer-encoding")
    if length == 21 and same(octets, length, b"sec-websocket-version"):
        return once(&head.version, at, size)
    if length == 22 and same(octets, length, b"sec-websocket-protocol"):
        return once(&head.subprotocols, at, size)
    if length == 24 and same(octets, length, b"sec-websocket-extensions"):
        return once(&head.extensions, at, size)
    return True


cdef bint valid_host(const uint8_t* data, Py_ssize_t size) noexcept nogil:
    """A name or an IPv4 address, and perhaps a port."""
    cdef Py_ssize_t at = 0
    while at < size and kinds[data[at]] & HOST:
        at += 1
    if at == 0:
        return False
    if at < size:
        if data[at] != b":":
            return False
        at += 1
        while at < size and 48 <= data[at] <= 57:
            at += 1
    return at == size


cdef bint valid_key(const uint8_t* data, Py_ssize_t size) noexcept nogil:
    """16 octets in base64, as every encoder writes them."""
    cdef Py_ssize_t at
    if size != KEY_LENGTH or data[22] != b"=" or data[23] != b"=":
        return False
    for at in range(22):
        if not kinds[data[at]] & KEY:
            return False
    return data[21] == b"A" or data[21] == b"Q" or data[21] == b"g" or data[21] == b"w"


cdef bint asks_to_upgrade(const uint8_t* data, Py_ssize_t size) noexcept nogil:
    """``Upgrade``, alone or beside ``keep-alive``, as browsers write it."""
    if same(data, size, b"upgrade"):
        return True
    return same(data, size, b"keep-alive, upgrade") or same(data, size, b"upgrade, keep-alive")


cdef bint recognise(
    const uint8_t* data, Py_ssize_t size, Py_ssize_t most_headers, Head* head
) noexcept nogil:
    """Whether ``data`` begins with the head of an ordinary handshake, and where its parts lie."""
    cdef Py_ssize_t at = 4, begin, length, last, end, headers = 0
    memset(head, 0, sizeof(Head))
    if size < 32 or memcmp(data, b"GET /", 5):
        return False
    while at < size and kinds[data[at]] & TARGET:
        at += 1
    if size - at < 11 or memcmp(data + at, b" HTTP/1.1\r\n", 11):
        return False
    at += 11
    while size - at >= 2 and not (data[at] == b"\r" and data[at + 1] == b"\n"):
        begin = at
        while at < size and kinds[data[at]] & NAME:
            at += 1
        length = at - begin
        if length == 0 or at == size or data[at] != b":":
            return False
        at += 1
        while at < size and data[at] == b" ":
            at += 1
        end = at
        while end < size and kinds[data[end]] & VALUE:
            end += 1
        if size - end < 2 or data[end] != b"\r" or data[end + 1] != b"\n":
            return False
        headers += 1
        if headers > most_headers:
            return False
        last = end
        while last > at and data[last - 1] == b" ":
            last -= 1
        if not take_header(data, begin, length, at, last - at, head):
            return False
        at = end + 2
    if size - at < 2:
        return False
    head.size = at + 2
    return (
        valid_host(data + head.host.at, head.host.size)
        and valid_key(data + head.key.at, head.key.size)
        and head.version.size == 2 and not memcmp(data + head.version.at, b"13", 2)
        and same(data + head.upgrade.at, head.upgrade.size, b"websocket")
        and asks_to_upgrade(data + head.connection.at, head.connection.size)
    )


# -- answering


cdef class Offer:
    """What a client is answered that offers certain things."""

    def __dealloc__(self):
        totals.codecs += self.uncounted

    cdef int imitate(self, PerMessageDeflate extension) except -1:
        """Take the pattern of what :meth:`extensions` makes; it never has a codec to count."""
        self.deflate = extension
        self.uncounted = True
        totals.codecs -= 1
        return 0

    cdef list extensions(self):
        """Return the extensions agreed on, made for one connection; ``None`` for none."""
        return None if self.deflate is None else [self.deflate.fresh()]


cdef class Upgrades:
    """The ordinary handshakes of one server.

    Args:
        limits: of heads: ``max_line``, ``max_headers``, ``max_head``.
        origins: see :func:`~duologue.protocol.handshake.negotiate`, as the next two.
        extensions: offers of extensions are left to the general way if there is another factory
            among these than permessage-deflate's.
        subprotocols: those that the server speaks.
        server_header: value of ``Server``, ``None`` for none.
    """

    def __init__(
        self, limits, *, origins=None, extensions=None, subprotocols=None, server_header=None
    ):
        self.limits = limits
        self.origins = origins
        self.extensions = extensions
        self.subprotocols = subprotocols
        self.server_header = server_header
        # Only of this factory it is known that its answer follows from the offer alone.
        self.known_extensions = all(
            type(factory) is ServerPerMessageDeflateFactory for factory in extensions or ()
        )
        longest = [limit for limit in (limits.max_line, limits.max_head) if limit is not None]
        self.longest = min(longest, default=1 << 30)
        self.most_headers = 1 << 30 if limits.max_headers is None else limits.max_headers
        self.offers = {}

    cdef Offer judge(self, const uint8_t* data, Py_ssize_t size):
        """Return what answers the head in ``data``; ``None`` to leave it to the general way.

        :attr:`head` and :attr:`questionable` are about this head until the next is judged, and
        ``offer.octets`` are its whole answer.
        """
        cdef Offer offer
        cdef long long second
        if not recognise(data, min(size, self.longest), self.most_headers, &self.head):
            return None
        offer = self.find(data)
        if offer is None:
            return None
        second = time(NULL)
        if offer.second != second:
            self.renew(offer, second)
        write_accept_key(
            data + self.head.key.at, <uint8_t*>PyBytes_AS_STRING(offer.octets) + offer.accept_at
        )
        self.questionable = self.is_questionable(data)
        return offer

    cdef bint is_questionable(self, const uint8_t* data) noexcept:
        """Whether a page of another site may be using the cookies of ours."""
        cdef Py_ssize_t at = self.head.origin.at, size = self.head.origin.size
        if not self.head.cookie or not size or self.origins is not None:
            return False
        if size > 8 and not memcmp(data + at, b"https://", 8):
            at += 8
            size -= 8
        elif size > 7 and not memcmp(data + at, b"http://", 7):
            at += 7
            size -= 7
        else:
            return True
        return size != self.head.host.size or memcmp(data + at, data + self.head.host.at, size) != 0

    cdef Offer find(self, const uint8_t* data):
        """Return what is agreed with who asks for this; ``None`` if only the general way knows."""
        cdef Span extensions = self.head.extensions, subprotocols = self.head.subprotocols
        cdef Span origin = self.head.origin
        cdef bytes key
        cdef object found
        if extensions.size and not self.known_extensions:
            return None
        if self.origins is None:
            origin.size = 0
        if extensions.size + subprotocols.size + origin.size > MOST_OCTETS:
            return None
        if extensions.size or subprotocols.size or origin.size:
            # No value has a line break.
            key = (
                PyBytes_FromStringAndSize(<const char*>data + extensions.at, extensions.size)
                + b"\n"
                + PyBytes_FromStringAndSize(<const char*>data + subprotocols.at, subprotocols.size)
                + b"\n"
                + PyBytes_FromStringAndSize(<const char*>data + origin.at, origin.size)
            )
        else:
            key = b""
        # False where it was refused: refusals are the general way's.
        found = self.offers.get(key)
        if found is None:
            found = self.learn(PyBytes_FromStringAndSize(<const char*>data, self.head.size))
            if len(self.offers) >= MOST_REMEMBERED:
                self.offers.clear()
            self.offers[key] = False if found is None else found
        return found or None

    cdef Offer learn(self, bytes head):
        """Have the general way judge a head, and return what it says; ``None`` for a refusal."""
        cdef Offer offer
        try:
            request = RequestParser(self.limits).feed(head)
            agreed = negotiate(
                request,
                origins=self.origins,
                extensions=self.extensions,
                subprotocols=self.subprotocols,
            )
        except (InvalidHandshake, ValueError, NotImplementedError):
            return None
        offer = Offer.__new__(Offer)
        offer.second = -1
        offer.subprotocol = agreed.subprotocol
        offer.extensions_value = agreed.headers.get("Sec-WebSocket-Extensions")
        if agreed.extensions:
            (extension,) = agreed.extensions
            offer.imitate(extension)
        return offer

    cdef int renew(self, Offer offer, long long second) except -1:
        """Make the answer anew, for the date in it."""
        headers = switching_headers("", offer.extensions_value, offer.subprotocol)
        if self.server_header is not None:
            headers["Server"] = self.server_header
        offer.kept = Response(101, "Switching Protocols", headers).serialize()
        before, name, after = offer.kept.partition(ACCEPT)
        offer.octets = b"".join((before, name, bytes(ACCEPT_LENGTH), after))
        offer.accept_at = len(before) + len(name)
        offer.second = second
        return 0

    cdef object origin(self, const uint8_t* data):
        """Return the origin of the head that was judged last, ``None`` if it has none."""
        if not self.head.origin.size:
            return None
        return PyUnicode_DecodeASCII(
            <const char*>data + self.head.origin.at, self.head.origin.size, NULL
        )

    def answer(self, bytes data):
        """Judge the beginning of a stream, as servers do that are compiled; for tests.

        Args:
            data: octets of a client.

        Returns:
            ``None`` to leave it to the general way, else the answer's octets, the extensions,
            subprotocol and origin, the answer's octets as they are kept, how long the head is, and
            whether a page of another site may be using our cookies.
        """
        cdef const uint8_t* octets = <const uint8_t*>PyBytes_AS_STRING(data)
        cdef Offer offer = self.judge(octets, PyBytes_GET_SIZE(data))
        if offer is None:
            return None
        # A copy: these octets are written again.
        answer = PyBytes_FromStringAndSize(
            PyBytes_AS_STRING(offer.octets), PyBytes_GET_SIZE(offer.octets)
        )
        return (
            answer,
            offer.extensions() or [],
            offer.subprotocol,
            self.origin(octets),
            offer.kept,
            self.head.size,
            bool(self.questionable),
        )
