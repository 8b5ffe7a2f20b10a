import asyncio
import ssl
from collections.abc import Callable

from duologue.net.link import Link
from duologue.net.transport import LinkTransport

class TlsLink(Link):
    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        inner: Link,
        context: ssl.SSLContext,
        opened: Callable[[TlsLink], None],
        failed: Callable[[Exception], None],
        *,
        server_side: bool,
        server_hostname: str | None,
        handshake_timeout: float,
        shutdown_timeout: float,
    ) -> None: ...
    @property
    def transport(self) -> LinkTransport: ...
    def is_closing(self) -> bool: ...
    def is_reading(self) -> bool: ...
    def begin(self) -> None: ...
    def fail(self, exc: BaseException | None) -> None: ...
