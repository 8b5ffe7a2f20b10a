"""``Blob``, as far as sockets need it (File API section 3)."""

from __future__ import annotations

import array

import pytest

from duologue import Blob


async def test_is_made_of_parts() -> None:
    blob = Blob(["é\ud800", b"\x00", bytearray(b"b"), array.array("H", [1]), Blob(["x"])])
    assert bytes(blob) == "é\ufffd".encode() + b"\x00b" + array.array("H", [1]).tobytes() + b"x"
    assert blob.size == len(bytes(blob)) == 10
    assert await blob.arrayBuffer() == await blob.bytes() == bytes(blob)
    assert (Blob().size, Blob().type, bytes(Blob())) == (0, "", b"")


async def test_text_is_decoded_as_utf8() -> None:
    assert await Blob([b"\xef\xbb\xbfa\xff"]).text() == "a\ufffd"


def test_does_not_change_with_its_parts() -> None:
    part = bytearray(b"abc")
    blob = Blob([memoryview(part)[1:]])
    part[1] = 0
    assert bytes(blob) == b"bc"


@pytest.mark.parametrize(
    ("type", "shown"), [("Text/Plain", "text/plain"), ("a\u00e9", ""), ("a\x1f", ""), ("", "")]
)
def test_type(type: str, shown: str) -> None:
    assert Blob([], {"type": type}).type == Blob([], type=type).type == shown


def test_line_endings() -> None:
    text = "a\r\nb\rc\n"
    assert bytes(Blob([text, b"\r"], endings="native")) == b"a\nb\nc\n\r"
    assert bytes(Blob([text])) == text.encode()
    with pytest.raises(TypeError, match="endings"):
        Blob([], endings="unix")


@pytest.mark.parametrize(
    ("start", "end", "part"),
    [
        (None, None, b"abcdef"),
        (1, None, b"bcdef"),
        (1, 3, b"bc"),
        (-2, None, b"ef"),
        (0, -1, b"abcde"),
        (4, 2, b""),
        (2, 99, b"cdef"),
        (-99, 1, b"a"),
    ],
)
def test_slice(start: int | None, end: int | None, part: bytes) -> None:
    blob = Blob(["abcdef"], type="a/b").slice(start, end, "C/D")
    assert (bytes(blob), blob.type) == (part, "c/d")
    assert Blob(["abcdef"], type="a/b").slice(start, end).type == ""


def test_wrong_arguments() -> None:
    for parts in ("text", b"octets", bytearray(), memoryview(b""), 5, None):
        with pytest.raises(TypeError, match="parts must be a list"):
            Blob(parts)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a part must be"):
        Blob([5])
    with pytest.raises(TypeError, match="options must be a mapping"):
        Blob([], "text/plain")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="type must be str"):
        Blob([], type=None)


def test_is_always_true_as_objects_are() -> None:
    assert Blob()
    with pytest.raises(AttributeError):
        Blob().size = 1  # type: ignore[misc]
