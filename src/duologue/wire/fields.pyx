"""Header lines of a head that was judged before, split into names and values.

For heads that are kept as octets: whoever kept them has had them judged by a parser, so this only
takes them apart. It must never know what a field means, nor whether it is allowed.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeLatin1
from libc.string cimport memchr


def split_fields(bytes head not None):
    """Split all lines but the first.

    Args:
        head: octets from the first line to the empty one.

    Returns:
        A dictionary from each name in lower case to the list of its values, and the list of all
        names and values in their order: what :class:`~duologue.wire.headers.Headers` holds.
    """
    cdef const char* data = PyBytes_AS_STRING(head)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(head), end, colon, first, last
    cdef Py_ssize_t at = line_end(data, 0, size) + 2
    cdef dict by_name = {}
    cdef list in_order = []
    cdef list values
    cdef str name, key, value
    while at < size:
        end = line_end(data, at, size)
        if end <= at:
            break
        colon = at
        while colon < end and data[colon] != b":":
            colon += 1
        first = min(colon + 1, end)
        last = end
        while first < last and (data[first] == b" " or data[first] == b"\t"):
            first += 1
        while first < last and (data[last - 1] == b" " or data[last - 1] == b"\t"):
            last -= 1
        name = PyUnicode_DecodeLatin1(data + at, colon - at, NULL)
        value = PyUnicode_DecodeLatin1(data + first, last - first, NULL)
        key = name.lower()
        values = by_name.get(key)
        if values is None:
            by_name[key] = [value]
        else:
            values.append(value)
        in_order.append((name, value))
        at = end + 2
    return by_name, in_order


cdef Py_ssize_t line_end(const char* data, Py_ssize_t at, Py_ssize_t size) noexcept:
    """Return where the line at ``at`` ends: before its CRLF."""
    cdef const char* found
    if at >= size:
        return size
    found = <const char*>memchr(data + at, b"\n", size - at)
    return size if found == NULL else found - data - 1
