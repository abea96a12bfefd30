from __future__ import annotations

import struct
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_runner.docker_attach import MAX_WORDS, AttachedWire
from sandbox_runner.driver import RelayRefused


def _wire() -> AttachedWire:
    return AttachedWire(cast(Any, None), cast(Any, None), b"", resumed=False)


def _piece(stream: int, data: bytes) -> bytes:
    return struct.pack(">BxxxL", stream, len(data)) + data


@given(
    pieces=st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=40)), max_size=10),
    step=st.integers(1, 60),
)
def test_stdout_comes_out_whole_and_stderr_apart_however_the_bytes_are_cut(
    pieces: list[tuple[int, bytes]], step: int
) -> None:
    wire = _wire()
    sent = b"".join(_piece(stream, data) for stream, data in pieces)
    received = b"".join(wire._sorted(sent[at : at + step]) for at in range(0, len(sent), step))
    assert received == b"".join(data for stream, data in pieces if stream == 1)
    said = b"".join(data for stream, data in pieces if stream == 2)
    assert wire.last_words() == said.decode(errors="replace").strip()


def test_last_words_are_the_last_and_few() -> None:
    wire = _wire()
    for number in range(100):
        wire._sorted(_piece(2, b"%03d" % number * 1000))
    assert len(wire.last_words()) == MAX_WORDS
    assert wire.last_words().endswith("099")


def test_a_stream_that_does_not_exist_is_refused() -> None:
    with pytest.raises(RelayRefused):
        _wire()._sorted(_piece(3, b"x"))
