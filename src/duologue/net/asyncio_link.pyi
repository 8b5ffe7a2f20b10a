import asyncio
from collections.abc import Callable

from duologue.net.link import Link

class AsyncioLink(Link, asyncio.BufferedProtocol):
    transport: asyncio.Transport
    def __init__(self, opened: Callable[[AsyncioLink], None]) -> None: ...
