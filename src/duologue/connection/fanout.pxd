from duologue.connection.prepared cimport Prepared


cpdef list fan_out(Prepared message, list connections, object exclude=*)
