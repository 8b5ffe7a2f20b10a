from typing import final

@final
class Prepared:
    opcode: int
    payload: bytes
    frames: int
    def __new__(cls, opcode: int, payload: bytes) -> Prepared: ...
