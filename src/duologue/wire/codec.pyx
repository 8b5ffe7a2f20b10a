"""zlib-ng's compressor and inflater, for octets in memory.

:class:`Deflater` and :class:`Inflater` call zlib-ng's functions in the library that the ``zlib_ng``
package has loaded (``zlib_ng.h``). The package's own objects do the same work, but allocate and
shrink 16 KiB for each result, take a lock, and can't be started again: a new compressor clears 300 KiB.
Where the functions can't be found the objects are used, which are slower and nothing else.

Small payloads are handled with the interpreter lock held and in a buffer that all codecs share; for
those from LARGE on, and for what they inflate to, other threads may run. A codec is used by one
thread at a time.

Must never know messages, connections or RFC 7692.
"""

cimport cython

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc, PyMem_RawRealloc
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy


cdef extern from "Python.h":
    # A bytes object that nobody else has seen may be filled and resized. The results are counted
    # by hand: Cython's own would be one reference too many for resizing.
    PyObject* new_octets "PyBytes_FromStringAndSize"(const char* octets, Py_ssize_t size)
    char* octets_of "PyBytes_AS_STRING"(PyObject* octets)
    int resize_octets "_PyBytes_Resize"(PyObject** octets, Py_ssize_t size) except -1
    void Py_XDECREF(PyObject* octets)

cdef extern from "zlib_ng.h" nogil:
    bint zlib_load "duologue_zlib_load"(const char* path)
    int deflate_begin "duologue_deflate_begin"(
        duologue_zstream* stream, int level, int window_bits, int memory_level, int strategy
    )
    int deflate_restart "duologue_deflate_restart"(duologue_zstream* stream)
    int deflate_prime "duologue_deflate_prime"(
        duologue_zstream* stream, const uint8_t* past, uint32_t size
    )
    int deflate "duologue_deflate"(duologue_zstream* stream, int flush)
    void deflate_end "duologue_deflate_end"(duologue_zstream* stream)
    int inflate_begin "duologue_inflate_begin"(duologue_zstream* stream)
    int inflate_prime "duologue_inflate_prime"(
        duologue_zstream* stream, const uint8_t* past, uint32_t size
    )
    int inflate_on "duologue_inflate"(duologue_zstream* stream)
    void inflate_end "duologue_inflate_end"(duologue_zstream* stream)

cdef enum:
    # zlib's names for these, RFC 1950 has none.
    NO_FLUSH = 0
    SYNC_FLUSH = 2
    STREAM_END = 1
    MEM_ERROR = -4
    BUF_ERROR = -5
    INFLATE_WINDOW = -15

    # The buffer into which small payloads are compressed and inflated.
    SCRATCH = 65536
    # Payloads below this many octets are handled there. The largest result of compressing one is
    # a few hundred octets longer than it.
    LARGE = 16384
    # Octets that zlib-ng is given at once at most; it counts in 32 bits.
    MOST = 1 << 30

cdef uint8_t[SCRATCH] scratch
cdef object zlib_ng = None
cdef bint found = False
cdef bint wanted = True


cdef int load() except -1:
    """Import the codec library, which most short-lived programs never need."""
    global zlib_ng, found
    if zlib_ng is None:
        from zlib_ng import zlib_ng as library
        path = getattr(library, "__file__", None)
        found = path is not None and zlib_load(path.encode())
        zlib_ng = library
    return 0


cdef bint is_wanted() noexcept:
    return wanted


cdef bint is_direct() except -1:
    load()
    return wanted and found


def set_direct(yes):
    """Choose for codecs made from now on; return whether they call the library directly."""
    global wanted
    wanted = bool(yes)
    return bool(is_direct())


@cython.final
@cython.auto_pickle(False)
cdef class Deflater:
    """A compressor; made by :c:func:`new_deflater`.

    It belongs to somebody, and each payload may refer to those before. Or it is lent
    (:meth:`lend`), and each refers to what its borrower names.
    """

    def __dealloc__(self):
        if self.begun:
            deflate_end(&self.stream)

    cdef int lend(self, const uint8_t* past, Py_ssize_t size) except -1:
        """Forget everything but ``size`` octets at ``past``, which must be 0 if not direct."""
        if self.other is not None:
            # A payload that is to be forgotten ends with a full flush.
            return 0
        if self.used and deflate_restart(&self.stream) != 0:
            raise RuntimeError("zlib-ng does not start again")
        self.used = True
        if size and deflate_prime(&self.stream, past, <uint32_t>size) != 0:
            raise RuntimeError("zlib-ng takes no history")
        return 0

    cdef bytes squeeze(self, object payload, bint forget):
        """Compress octets, with all that was said of them: the result ends with an empty block.

        Args:
            payload: contiguous bytes-like.
            forget: whether it is lent again next, or not used any more.
        """
        cdef Py_buffer view
        cdef bytes head, tail
        if self.other is not None:
            head = self.other.compress(payload)
            tail = self.other.flush(zlib_ng.Z_FULL_FLUSH if forget else zlib_ng.Z_SYNC_FLUSH)
            return head + tail if head else tail
        PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
        try:
            if view.len < LARGE:
                return self.squeeze_octets(<const uint8_t*>view.buf, view.len)
            return self.squeeze_much(<const uint8_t*>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)

    cdef bytes squeeze_octets(self, const uint8_t* octets, Py_ssize_t size):
        self.stream.next_in = octets
        self.stream.avail_in = <uint32_t>size
        self.stream.next_out = scratch
        self.stream.avail_out = SCRATCH
        if size == 0:
            # A second flush with nothing between is none, unless this is.
            deflate(&self.stream, NO_FLUSH)
        deflate(&self.stream, SYNC_FLUSH)
        if self.stream.avail_out == 0 or self.stream.avail_in:
            raise RuntimeError("zlib-ng did not end a flush")
        return PyBytes_FromStringAndSize(<char*>scratch, SCRATCH - self.stream.avail_out)

    cdef bytes squeeze_much(self, const uint8_t* octets, Py_ssize_t size):
        cdef Py_ssize_t room = size + size // 8 + 1024, used = 0, step
        cdef uint8_t* out = <uint8_t*>PyMem_RawMalloc(room)
        cdef uint8_t* larger
        if out == NULL:
            raise MemoryError
        self.stream.next_in = octets
        self.stream.avail_in = 0
        try:
            while True:
                if self.stream.avail_in == 0:
                    self.stream.avail_in = <uint32_t>min(size, MOST)
                    size -= self.stream.avail_in
                step = min(room - used, MOST)
                self.stream.next_out = out + used
                self.stream.avail_out = <uint32_t>step
                with nogil:
                    deflate(&self.stream, NO_FLUSH if size else SYNC_FLUSH)
                used += step - self.stream.avail_out
                if self.stream.avail_out:
                    if self.stream.avail_in:
                        raise RuntimeError("zlib-ng did not take all octets")
                    if size == 0:
                        return PyBytes_FromStringAndSize(<char*>out, used)
                elif used == room:
                    room *= 2
                    larger = <uint8_t*>PyMem_RawRealloc(out, room)
                    if larger == NULL:
                        raise MemoryError
                    out = larger
        finally:
            PyMem_RawFree(out)


cdef Deflater new_deflater(int window_bits, dict settings, bytes history):
    """Make a compressor.

    Args:
        window_bits: 9 to 15.
        settings: what ``zlib_ng.compressobj`` is to be given, by name.
        history: what the first payload may refer to, or None.

    Raises:
        ValueError: If a setting is out of range.
        MemoryError: If there is none.
    """
    cdef Deflater made = Deflater.__new__(Deflater)
    cdef int result
    if history is None:
        history = settings.get("zdict")
    if not is_direct():
        settings = {**settings, "wbits": -window_bits}
        if history is not None:
            settings["zdict"] = history
        made.other = zlib_ng.compressobj(**settings)
        return made
    result = deflate_begin(
        &made.stream,
        settings.get("level", -1),
        window_bits,
        settings.get("memLevel", 8),
        settings.get("strategy", 0),
    )
    if result == MEM_ERROR:
        raise MemoryError
    if result != 0:
        raise ValueError(f"zlib-ng has no compressor for {settings}")
    made.begun = True
    if history:
        deflate_prime(
            &made.stream, <const uint8_t*>PyBytes_AS_STRING(history), PyBytes_GET_SIZE(history)
        )
    return made


@cython.final
@cython.auto_pickle(False)
cdef class Inflater:
    """An inflater of one connection, with the largest window; made by :c:func:`new_inflater`."""

    def __dealloc__(self):
        if self.begun:
            inflate_end(&self.stream)

    cdef bytes inflate(self, object data, Py_ssize_t limit):
        """Inflate all of ``data``, up to the end of the stream or ``limit`` octets of output.

        Args:
            data: contiguous bytes-like.
            limit: 0 for any number. When it is reached, what is left of ``data`` is lost.

        Raises:
            zlib_ng.error: If the data are not DEFLATE.
        """
        cdef Py_buffer view
        cdef bytes out
        if self.other is not None:
            out = self.other.decompress(data, limit)
            self.eof = self.other.eof
            self.unused = self.other.unused_data
            return out
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            return self.inflate_octets(<const uint8_t*>view.buf, view.len, limit)
        finally:
            PyBuffer_Release(&view)

    cdef bytes inflate_octets(self, const uint8_t* octets, Py_ssize_t size, Py_ssize_t limit):
        cdef Py_ssize_t room = SCRATCH if limit == 0 or limit > SCRATCH else limit
        cdef Py_ssize_t left = size
        cdef bytes out
        cdef int result
        self.stream.next_in = octets
        self.stream.avail_in = 0
        if size < LARGE:
            self.stream.next_out = scratch
            self.stream.avail_out = <uint32_t>room
            result = run_inflater(&self.stream, &left)
            self.outcome(result, left)
            if self.stream.avail_out or self.eof or room == limit:
                out = PyBytes_FromStringAndSize(<char*>scratch, room - self.stream.avail_out)
            else:
                out = self.inflate_much(room, left, limit)
        else:
            out = self.inflate_much(0, left, limit)
        return out

    cdef bytes inflate_much(self, Py_ssize_t used, Py_ssize_t left, Py_ssize_t limit):
        """Go on with what was lent, behind ``used`` octets that are in the shared buffer."""
        cdef Py_ssize_t room = min(4 * SCRATCH, limit) if limit else 4 * SCRATCH, step
        cdef PyObject* out = new_octets(NULL, room)
        cdef char* place
        cdef int result
        if out == NULL:
            raise MemoryError
        memcpy(octets_of(out), scratch, used)
        try:
            while True:
                step = min(room - used, MOST)
                place = octets_of(out) + used
                self.stream.next_out = <uint8_t*>place
                self.stream.avail_out = <uint32_t>step
                with nogil:
                    result = run_inflater(&self.stream, &left)
                used += step - self.stream.avail_out
                self.outcome(result, left)
                if self.stream.avail_out or self.eof or used == limit:
                    resize_octets(&out, used)
                    return <bytes>out
                if used == room:
                    room = min(room * 2, limit) if limit else room * 2
                    resize_octets(&out, room)
        finally:
            Py_XDECREF(out)

    cdef int outcome(self, int result, Py_ssize_t left) except -1:
        """Raise what ``result`` says, and keep what follows the end of a stream."""
        if result == STREAM_END:
            self.eof = True
            self.unused = PyBytes_FromStringAndSize(
                <const char*>self.stream.next_in, self.stream.avail_in + left
            )
        elif result == MEM_ERROR:
            raise MemoryError
        elif result != 0 and result != BUF_ERROR:
            said = "" if self.stream.msg == NULL else (<bytes>self.stream.msg).decode()
            raise zlib_ng.error(f"Error {result} while decompressing data: {said}")
        return 0


cdef int run_inflater(duologue_zstream* stream, Py_ssize_t* left) noexcept nogil:
    """Inflate until there is no more input or room; return the last result."""
    cdef int result
    while True:
        if stream.avail_in == 0:
            stream.avail_in = <uint32_t>min(left[0], <Py_ssize_t>MOST)
            left[0] -= stream.avail_in
        result = inflate_on(stream)
        if result != 0 or stream.avail_out == 0 or (stream.avail_in == 0 and left[0] == 0):
            return result


cdef Inflater new_inflater(bytes history):
    """Make an inflater.

    Args:
        history: what its input may refer to, at most 32 KiB, or None.

    Raises:
        MemoryError: If there is none.
    """
    cdef Inflater made = Inflater.__new__(Inflater)
    if not is_direct():
        made.other = (
            zlib_ng.decompressobj(wbits=INFLATE_WINDOW) if history is None else
            zlib_ng.decompressobj(wbits=INFLATE_WINDOW, zdict=history)
        )
        return made
    if inflate_begin(&made.stream) != 0:
        raise MemoryError
    made.begun = True
    if history:
        inflate_prime(
            &made.stream, <const uint8_t*>PyBytes_AS_STRING(history), PyBytes_GET_SIZE(history)
        )
    return made


cdef object codec_error():
    """The exception for data that are not DEFLATE."""
    load()
    return zlib_ng.error
