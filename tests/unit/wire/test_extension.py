"""The extension API: what it demands of an implementation."""

from __future__ import annotations

import pytest

from duologue.base.types import ExtensionName
from duologue.wire.extension import ClientExtensionFactory, Extension, ServerExtensionFactory
from duologue.wire.frame import Frame, Opcode
from duologue.wire.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    PerMessageDeflate,
    ServerPerMessageDeflateFactory,
)


class Reverse(Extension):
    """Reverses payloads of data frames, marked with RSV2."""

    name = ExtensionName("x-reverse")

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        return Frame(frame.opcode, bytes(frame.data)[::-1], frame.fin, rsv1=frame.rsv1)

    def encode(self, frame: Frame) -> Frame:
        return Frame(frame.opcode, bytes(frame.data)[::-1], frame.fin, frame.rsv1, rsv2=True)


@pytest.mark.parametrize("base", [Extension, ClientExtensionFactory, ServerExtensionFactory])
def test_what_lacks_a_method_cannot_be_made(base: type) -> None:
    with pytest.raises(TypeError, match="abstract"):
        type("Unfinished", (base,), {"name": "x-unfinished"})()


def test_extensions_stack() -> None:
    frame = Frame(Opcode.TEXT, b"Hello Hello Hello")
    deflate, reverse = PerMessageDeflate(False, False, 15, 15), Reverse()
    sent = reverse.encode(deflate.encode(frame))
    assert (sent.rsv1, sent.rsv2) == (True, True)
    peer = PerMessageDeflate(False, False, 15, 15)
    assert peer.decode(reverse.decode(sent)) == frame


def test_permessage_deflate_implements_the_api() -> None:
    assert issubclass(PerMessageDeflate, Extension)
    assert issubclass(ClientPerMessageDeflateFactory, ClientExtensionFactory)
    assert issubclass(ServerPerMessageDeflateFactory, ServerExtensionFactory)
    names = {
        PerMessageDeflate.name,
        ClientPerMessageDeflateFactory.name,
        ServerPerMessageDeflateFactory.name,
    }
    assert names == {"permessage-deflate"}
