"""Masking, UTF-8 and masking keys: what touches every octet of a payload.

Thin Python names over the loops of ``octets.h``, for tests and for frames that are built one by
one; the compiled protocol calls the loops themselves. Knows nothing of frames, roles or messages.

Masking keys (RFC 6455 section 5.3: from a strong source of entropy, unpredictable) come from the
operating system, fetched in bulk. The pool is process-wide and is thrown away in a forked child,
so that parent and child never use one key.
"""

import os

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.string cimport memcpy, memset

cdef uint8_t[4096] pool
cdef Py_ssize_t pool_left = 0


cdef int refill() except -1:
    global pool_left
    cdef bytes fresh = os.urandom(4096)
    memcpy(pool, PyBytes_AS_STRING(fresh), 4096)
    pool_left = 4096
    return 0


cdef int draw_masking_key(uint8_t* key) except -1:
    """Write 4 octets of the operating system's entropy to ``key``; each is used once."""
    global pool_left
    if pool_left < 4:
        refill()
    pool_left -= 4
    memcpy(key, pool + pool_left, 4)
    memset(pool + pool_left, 0, 4)
    return 0


def forget_masking_keys() -> None:
    """Throw away keys drawn ahead; called in every forked child."""
    global pool_left
    memset(pool, 0, 4096)
    pool_left = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget_masking_keys)


def masking_key() -> bytes:
    """Return a fresh masking key of 4 octets (RFC 6455 section 5.3)."""
    cdef uint8_t[4] key
    draw_masking_key(key)
    return PyBytes_FromStringAndSize(<char*>key, 4)


def apply_mask(data: bytes | bytearray | memoryview, mask: bytes) -> bytes:
    """Return ``data`` XORed with the repeated ``mask``; masking and unmasking are the same.

    Args:
        data: any contiguous bytes-like object.
        mask: masking key of exactly 4 octets.

    Raises:
        ValueError: If ``mask`` isn't 4 octets long.
    """
    if len(mask) != 4:
        raise ValueError(f"masking key must have 4 octets, not {len(mask)}")
    cdef const uint8_t[::1] source = memoryview(data).cast("B") if len(data) else None
    cdef bytes result
    if source is None:
        return b""
    result = PyBytes_FromStringAndSize(NULL, source.shape[0])
    cdef const uint8_t[::1] key = mask
    mask_octets(<uint8_t*>PyBytes_AS_STRING(result), &source[0], source.shape[0], &key[0], 0)
    return result


cdef class Utf8Reader:
    """Reads UTF-8 in pieces and finds the first octet that cannot belong to it (RFC 3629)."""

    cdef Utf8 state

    def feed(self, data: bytes) -> int:
        """Read ``data``; return -1, or the index in it of the first wrong octet."""
        return read_utf8(&self.state, <const uint8_t*>PyBytes_AS_STRING(data), len(data))

    @property
    def complete(self) -> bool:
        """Whether the octets read so far end with a whole character."""
        return self.state.need == 0
