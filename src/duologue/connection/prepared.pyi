from collections.abc import Hashable
from typing import Any, final

from duologue.wire.deflate import PerMessageDeflate

@final
class Prepared:
    opcode: int
    payload: bytes
    frames: int
    policy: int
    key: Any
    subject: Any
    def __new__(
        cls,
        opcode: int,
        payload: bytes,
        policy: int = -1,
        key: Hashable | None = None,
        subject: Hashable | None = None,
    ) -> Prepared: ...
    def pack(self, deflate: PerMessageDeflate) -> bytes: ...
    def unpack(self, deflate: PerMessageDeflate, frame: bytes) -> None: ...
