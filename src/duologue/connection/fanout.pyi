from duologue.connection.connection import Connection
from duologue.connection.prepared import Prepared

def fan_out(
    message: Prepared, connections: list[Connection], exclude: Connection | None = None
) -> list[tuple[Connection, Exception]] | None: ...
