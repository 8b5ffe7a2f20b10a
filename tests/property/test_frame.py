from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.base.exceptions import ProtocolError
from duologue.wire.frame import Close, Frame, Opcode, apply_mask

frames = pytest.importorskip("websockets.frames")
streams = pytest.importorskip("websockets.streams")
errors = pytest.importorskip("websockets.exceptions")

payloads = st.one_of(
    st.binary(max_size=200),
    st.sampled_from([125, 126, 127, 65535, 65536]).map(bytes),
    st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")),
)
opcodes = st.sampled_from(list(Opcode))


def parse(octets, mask):
    """Let websockets read one frame."""
    reader = streams.StreamReader()
    reader.feed_data(octets)
    reader.feed_eof()
    steps = frames.Frame.parse(reader.read_exact, mask=mask)
    try:
        while True:
            next(steps)
    except StopIteration as stop:
        return stop.value


@given(opcodes, payloads, st.booleans(), st.booleans())
def test_websockets_reads_what_we_write(opcode, data, fin, mask):
    frame = Frame(opcode, data, fin)
    theirs = frames.Frame(frames.Opcode(opcode), data, fin)
    try:
        theirs.check()
    except errors.ProtocolError:
        with pytest.raises(ProtocolError):
            frame.serialize(mask=mask)
        return
    octets = frame.serialize(mask=mask)
    if not mask:
        assert octets == theirs.serialize(mask=False)
    assert len(octets) == len(theirs.serialize(mask=mask))
    parsed = parse(octets, mask)
    assert (parsed.opcode, parsed.data, parsed.fin) == (opcode, data, fin)


@given(opcodes, payloads, st.booleans())
def test_description_is_short_and_never_fails(opcode, data, fin):
    text = str(Frame(opcode, data, fin))
    assert text.startswith(Opcode(opcode).name)
    assert len(text) < 200
    assert "\n" not in text or opcode == Opcode.CLOSE


@given(st.binary(max_size=100), st.binary(min_size=4, max_size=4))
def test_masking_is_xor_and_undoes_itself(data, key):
    masked = apply_mask(data, key)
    assert masked == bytes(octet ^ key[index % 4] for index, octet in enumerate(data))
    assert apply_mask(masked, key) == data


@given(st.one_of(st.binary(max_size=130), st.tuples(st.integers(0, 65535), st.text(max_size=50))))
def test_close_payloads_mean_what_websockets_says(given_payload):
    if isinstance(given_payload, tuple):
        code, reason = given_payload
        given_payload = code.to_bytes(2) + reason.encode("utf-8", "surrogatepass")
    try:
        theirs = frames.Close.parse(given_payload)
    except (errors.ProtocolError, UnicodeDecodeError):
        with pytest.raises((ProtocolError, UnicodeDecodeError)):
            Close.parse(given_payload)
        return
    if len(given_payload) > 125:
        # websockets leaves the length to the frame.
        with pytest.raises(ProtocolError, match="too long"):
            Close.parse(given_payload)
        return
    ours = Close.parse(given_payload)
    assert (ours.code, ours.reason, str(ours)) == (theirs.code, theirs.reason, str(theirs))
    if ours.code != 1005:
        assert ours.serialize() == given_payload
