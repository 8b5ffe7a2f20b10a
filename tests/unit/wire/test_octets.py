"""Masking, UTF-8 and masking keys, against the obvious ways to do the same."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.wire.octets import Utf8Reader, apply_mask, masking_key

KEY = b"\x01\xf2\x83\x7c"


def masked(data: bytes, key: bytes) -> bytes:
    return bytes(octet ^ key[index % 4] for index, octet in enumerate(data))


@pytest.mark.parametrize("size", [*range(40), 127, 128, *range(510, 516), 640, 1000, 65537])
def test_mask_of_every_small_size(size: int) -> None:
    data = os.urandom(size)
    assert apply_mask(data, KEY) == masked(data, KEY)
    assert apply_mask(apply_mask(data, KEY), KEY) == data


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_mask_of_every_type(kind: type) -> None:
    assert apply_mask(kind(b"hello"), KEY) == masked(b"hello", KEY)


def test_mask_of_a_window() -> None:
    assert apply_mask(memoryview(b"0123456789")[3:8], KEY) == masked(b"34567", KEY)


@pytest.mark.parametrize("key", [b"", b"abc", b"abcde"])
def test_mask_must_have_four_octets(key: bytes) -> None:
    with pytest.raises(ValueError, match=f"4 octets, not {len(key)}"):
        apply_mask(b"data", key)


def test_masking_keys_differ() -> None:
    # 3000 keys need the pool to be filled several times.
    assert len({masking_key() for _ in range(3000)}) > 2990


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_masking_keys_differ_after_fork() -> None:
    program = (
        "import os\n"
        "from duologue.wire.octets import masking_key\n"
        "masking_key()\n"
        "read, write = os.pipe()\n"
        "if os.fork() == 0:\n"
        "    os.write(write, b''.join(masking_key() for _ in range(100)))\n"
        "    os._exit(0)\n"
        "theirs = os.read(read, 400)\n"
        "ours = b''.join(masking_key() for _ in range(100))\n"
        "assert len(theirs) == 400\n"
        "common = {theirs[i:i+4] for i in range(0, 400, 4)} & "
        "{ours[i:i+4] for i in range(0, 400, 4)}\n"
        "assert len(common) < 5, common\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)


def first_wrong(data: bytes) -> int:
    """Index of the first octet that no valid text could have there, or -1 (by CPython)."""
    for end in range(1, len(data) + 1):
        try:
            data[:end].decode()
        except UnicodeDecodeError as exc:
            if exc.reason != "unexpected end of data":
                return end - 1
    return -1


@given(st.binary(max_size=30))
def test_first_wrong_octet(data: bytes) -> None:
    assert Utf8Reader().feed(data) == first_wrong(data)


@given(st.text(max_size=30), st.data())
def test_text_at_every_split(text: str, data: st.DataObject) -> None:
    octets = text.encode("utf-8", "replace")
    for split in range(len(octets) + 1):
        reader = Utf8Reader()
        assert reader.feed(octets[:split]) == -1
        assert reader.feed(octets[split:]) == -1
        assert reader.complete


@pytest.mark.parametrize(
    ("octets", "wrong"),
    [
        (b"\xc0\x80", 0),
        (b"\xc1\xbf", 0),
        (b"\xe0\x9f\xbf", 1),
        (b"\xed\xa0\x80", 1),
        (b"\xf0\x8f\xbf\xbf", 1),
        (b"\xf4\x90\x80\x80", 1),
        (b"\xf5\x80\x80\x80", 0),
        (b"\xff", 0),
        (b"\x80", 0),
        (b"abcdefgh\xe2\x28\xa1", 9),
    ],
)
def test_ill_formed(octets: bytes, wrong: int) -> None:
    for split in range(len(octets) + 1):
        reader = Utf8Reader()
        at = reader.feed(octets[:split])
        if at < 0:
            at = reader.feed(octets[split:])
            at += split if at >= 0 else 0
        assert at == wrong


def test_incomplete() -> None:
    reader = Utf8Reader()
    assert reader.feed("€".encode()[:2]) == -1
    assert not reader.complete
