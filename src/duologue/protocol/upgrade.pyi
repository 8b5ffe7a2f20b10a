from collections.abc import Sequence

from duologue.base.limits import Limits
from duologue.base.types import Origin, Subprotocol
from duologue.protocol.handshake import Origins
from duologue.wire.extension import Extension, ServerExtensionFactory

REMEMBERED: int
LONGEST_VALUES: int

class Offer:
    @property
    def subprotocol(self) -> Subprotocol | None: ...
    @property
    def kept(self) -> bytes: ...

class Upgrades:
    def __init__(
        self,
        limits: Limits,
        *,
        origins: Origins | None = None,
        extensions: Sequence[ServerExtensionFactory] | None = None,
        subprotocols: Sequence[Subprotocol] | None = None,
        server_header: str | None = None,
    ) -> None: ...
    def answer(
        self, data: bytes
    ) -> (
        tuple[bytes, list[Extension], Subprotocol | None, Origin | None, bytes, int, bool] | None
    ): ...
