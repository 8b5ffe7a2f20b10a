from typing import final

from duologue.wire.deflate import PerMessageDeflate

@final
class Prepared:
    opcode: int
    payload: bytes
    frames: int
    def __new__(cls, opcode: int, payload: bytes) -> Prepared: ...
    def pack(self, deflate: PerMessageDeflate) -> bytes: ...
    def unpack(self, deflate: PerMessageDeflate, frame: bytes) -> None: ...
