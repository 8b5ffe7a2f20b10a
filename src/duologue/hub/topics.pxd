cdef class Topic:
    cdef readonly str name
    cdef dict subscribers


cdef class Topics:
    cdef dict known
    cdef object filters

    cdef list receivers(self, str name)
