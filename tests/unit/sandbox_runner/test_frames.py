from __future__ import annotations

import itertools
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox_runner import frames
from sandbox_runner.frames import BadFrame, Decoder, Frame, Kind

FRAMES = st.builds(
    Frame,
    kind=st.sampled_from(list(Kind)),
    payload=st.binary(max_size=300),
    job=st.integers(0, 65535),
    stream=st.integers(0, 255),
    offset=st.integers(0, 2**64 - 1),
    time_us=st.integers(0, 2**64 - 1),
)
HELLO = Frame(Kind.HELLO, b'{"acked":0}')


def _cut(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in itertools.pairwise(places)]


@settings(deadline=None)
@given(sent=st.lists(FRAMES, max_size=5), cuts=st.lists(st.integers(0, 10**6), max_size=12), tolerant=st.booleans())
def test_frames_come_out_as_they_went_in_however_the_bytes_are_cut(
    sent: list[Frame], cuts: list[int], tolerant: bool
) -> None:
    decoder = Decoder(tolerant=tolerant)
    wire = b"".join(map(frames.encode, sent))
    assert [frame for piece in _cut(wire, cuts) for frame in decoder.feed(piece)] == sent
    assert decoder.spoiled == 0


def test_frames_beyond_the_most_that_are_wanted_wait_for_the_next_call() -> None:
    sent = [Frame(Kind.DATA, bytes([number]), offset=number) for number in range(5)]
    decoder = Decoder()
    assert decoder.feed(b"".join(map(frames.encode, sent)), 2) == sent[:2]
    assert decoder.feed(b"", 2) == sent[2:4]
    assert decoder.feed(b"", 2) == sent[4:]


@settings(deadline=None)
@given(half=FRAMES, sent=st.integers(0, 10**6), cuts=st.lists(st.integers(0, 10**6), max_size=6))
def test_a_frame_broken_off_anywhere_is_dropped_and_the_next_connection_is_understood(
    half: Frame, sent: int, cuts: list[int]
) -> None:
    encoded = frames.encode(half)
    end = sent % len(encoded)
    whole = not encoded[end:].strip(b"\0")  # the rest was zeros anyway: nothing of it was lost
    decoder = Decoder(tolerant=True)
    wire = encoded[:end] + frames.RESYNC + frames.encode(HELLO)
    assert [frame for piece in _cut(wire, cuts) for frame in decoder.feed(piece)] == [half] * whole + [HELLO]


@settings(deadline=None)
@given(noise=st.binary(min_size=1, max_size=400))
def test_a_tolerant_decoder_finds_its_way_after_any_noise_and_a_pause(noise: bytes) -> None:
    decoder = Decoder(tolerant=True)
    decoder.feed(noise)
    assert decoder.feed(frames.RESYNC + frames.encode(HELLO))[-1] == HELLO


def test_a_frame_inside_a_spoiled_payload_is_never_believed() -> None:
    evil = frames.encode(Frame(Kind.SIGNAL, b"\x09", job=1))
    spoiled = bytearray(frames.encode(Frame(Kind.FEED, b"text" + evil + b"text", job=1)))
    spoiled[frames.HEADER_BYTES] ^= 1
    decoder = Decoder(tolerant=True)
    assert decoder.feed(bytes(spoiled) + frames.encode(HELLO)) == [HELLO]
    assert decoder.spoiled == 1


@pytest.mark.parametrize("place", range(frames.HEADER_BYTES + 4))
def test_a_strict_decoder_gives_up_at_any_changed_byte(place: int) -> None:
    changed = bytearray(frames.encode(Frame(Kind.DATA, b"data", job=1, stream=1, offset=7, time_us=9)))
    changed[place] ^= 0x80
    decoder = Decoder()
    with pytest.raises(BadFrame):
        # A length that grew within bounds makes it wait for more, and then fail.
        decoder.feed(bytes(changed) + bytes(frames.MAX_PAYLOAD))


def test_a_longer_payload_than_allowed_is_neither_made_nor_waited_for() -> None:
    with pytest.raises(BadFrame, match="65537"):
        frames.encode(Frame(Kind.DATA, bytes(frames.MAX_PAYLOAD + 1)))
    header = struct.pack("!2sBBHIQQ", b"CK", Kind.DATA, 1, 1, frames.MAX_PAYLOAD + 1, 0, 0)
    with pytest.raises(BadFrame):
        Decoder().feed(header + struct.pack("!I", zlib.crc32(header)))


def test_a_decoder_holds_no_more_than_a_frame_of_what_it_cannot_use() -> None:
    decoder = Decoder(tolerant=True)
    for _ in range(50):
        assert decoder.feed(b"X" * 100_000) == []
    assert len(decoder._buffer) < frames.HEADER_BYTES + frames.MAX_PAYLOAD


@pytest.mark.parametrize("payload", [b"", b"[]", b"1", b"{", b"\xff", b"[" * 60_000, b'{"a":' * 10_000, b"null"])
def test_what_is_not_a_json_object_is_refused(payload: bytes) -> None:
    with pytest.raises(BadFrame):
        frames.decode_json(payload)


@pytest.mark.parametrize("value", [None, True, 1.0, "1", -1, 11, 10**30])
def test_a_number_is_a_whole_number_within_its_bounds(value: object) -> None:
    with pytest.raises(BadFrame, match="acked"):
        frames.number({"acked": value}, "acked", 0, 10)
    assert frames.number({"acked": 10}, "acked", 0, 10) == 10
