"""The keeper's protocol: frames to bytes and back. Used by both ends; standard library only, Python 3.9 and newer.

A frame is a header of 30 bytes and at most 64 KiB of payload::

    magic "CK" | kind u8 | stream u8 | job u16 | length u32 | offset u64 | time_us u64 | crc32 u32     (network order)

The checksum covers the header before it and the payload, so a frame whose rest was replaced by zeros is never taken
for a shorter whole one. Host to keeper::

    HELLO   JSON {nonce: hex of 16 bytes, acked, window}; begins a connection, counts as a heartbeat
    CREDIT  offset: everything before it is stored; the keeper forgets it and may send up to offset + window
    BEAT    two f64: grace in seconds (0: as it is), seconds left until the deadline (0: none was set or it stays)
    START   JSON job; answered by a sequenced notice
    FEED    job, offset in its stdin, bytes; no bytes: end of file
    SIGNAL  job, u8 signal number; SIGKILL reaches all that the job started

Keeper to host: the 16 raw bytes of the nonce, then::

    READY   JSON {protocol, grace, base, produced, jobs: {id: code|null}, fed: {id: bytes of stdin that came}}
    DATA    sequenced; stream 1 stdout, 2 stderr, 3 result, 4 notice (JSON)
    ALIVE   about each second; offset: produced so far
    FED     job; offset: bytes of its stdin that its pipe has taken
    FAULT   text: what the keeper could not do

`offset` of DATA counts the payload bytes of all streams of all jobs from 0 without holes: one number to acknowledge.
"""

from __future__ import annotations

import enum
import json
import struct
import sys
import zlib
from typing import Any, NamedTuple

PROTOCOL = 1
MAGIC = b"CK"
MAX_PAYLOAD = 64 * 1024
NONCE_BYTES = 16
WINDOW = 512 * 1024  #: sequenced bytes that may be unacknowledged
MAX_WINDOW = 1024 * 1024
#: Notices are made even when the window is full, so the keeper may be this much beyond it.
SLACK = 64 * 1024
#: Unacknowledged frames; bounds what a writer of single bytes costs both ends in objects.
MAX_KEPT = 4096
MAX_GRACE = 3600.0  #: seconds
MAX_TIME_US = 4_102_444_800_000_000  #: the year 2100; later is a lie, and dates beyond 9999 break their readers

_HEADER = struct.Struct("!2sBBHIQQ")
_CRC = struct.Struct("!I")
BEAT = struct.Struct("!dd")
HEADER_BYTES = _HEADER.size + _CRC.size

#: Sent first on a connection that is not the sandbox's first: completes and spoils a frame the last one left half sent.
RESYNC = bytes(HEADER_BYTES + MAX_PAYLOAD)
#: A reader that lost its place goes on after this many zero bytes.
_QUIET = bytes(64)


class Kind(enum.IntEnum):
    HELLO = 1
    CREDIT = 2
    BEAT = 3
    START = 4
    FEED = 5
    SIGNAL = 6
    READY = 33
    DATA = 34
    ALIVE = 35
    FED = 36
    FAULT = 37


STDOUT, STDERR, RESULT, NOTICE = 1, 2, 3, 4


class BadFrame(ValueError):
    """What arrived is not this protocol."""


class Frame(NamedTuple):
    kind: int
    payload: bytes = b""
    job: int = 0
    stream: int = 0
    offset: int = 0
    time_us: int = 0


def encode(frame: Frame) -> bytes:
    """The bytes of one frame. Raises `BadFrame` when the payload is too long."""
    if len(frame.payload) > MAX_PAYLOAD:
        raise BadFrame(f"a payload of {len(frame.payload)} bytes is longer than {MAX_PAYLOAD}")
    header = _HEADER.pack(MAGIC, frame.kind, frame.stream, frame.job, len(frame.payload), frame.offset, frame.time_us)
    return b"".join((header, _CRC.pack(zlib.crc32(frame.payload, zlib.crc32(header))), frame.payload))


def encode_json(kind: int, content: dict[str, Any], job: int = 0) -> bytes:
    return encode(Frame(kind, json.dumps(content, separators=(",", ":")).encode(), job))


def decode_json(payload: bytes) -> dict[str, Any]:
    """The object in `payload`. Raises `BadFrame` for anything else."""
    try:
        content = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise BadFrame(f"not JSON: {type(error).__name__}") from None
    if not isinstance(content, dict):
        raise BadFrame("not a JSON object")
    return content


def number(content: dict[str, Any], name: str, low: int, high: int) -> int:
    """A whole number out of a JSON object, within bounds. Raises `BadFrame`."""
    value = content.get(name)
    if type(value) is not int or not low <= value <= high:
        raise BadFrame(f"{name} is not a whole number from {low} to {high}")
    return value


def strings(value: object, name: str) -> list[str]:
    """`value` as a list of texts an operating system takes. Raises `BadFrame`."""
    if not isinstance(value, list) or not all(isinstance(item, str) and "\0" not in item for item in value):
        raise BadFrame(f"{name} is not text without zero bytes")
    return value


class Decoder:
    """Bytes in, whole frames out.

    Strict by default: whatever is not a frame raises `BadFrame`, and the connection is to be given up. A tolerant one
    skips zero bytes between frames and spoiled frames, so that a new connection can begin where another broke off. It
    never looks for a frame inside the payload of a spoiled one: that may be an adversary's.
    """

    def __init__(self, *, tolerant: bool = False) -> None:
        self._tolerant = tolerant
        self._buffer = bytearray()
        self._lost = False
        self.spoiled = 0  #: frames and pieces a tolerant decoder dropped

    def feed(self, data: bytes, most: int = sys.maxsize) -> list[Frame]:
        """The frames that are whole now; with `most` the rest of them stay for the next call."""
        buffer = self._buffer
        buffer += data
        frames: list[Frame] = []
        at = 0
        while len(frames) < most and self._found(at):
            at = self._skip_quiet(at)
            if len(buffer) - at < HEADER_BYTES:
                break
            magic, kind, stream, job, length, offset, time_us = _HEADER.unpack_from(buffer, at)
            if magic != MAGIC or length > MAX_PAYLOAD:
                if not self._tolerant:
                    raise BadFrame("no frame begins here" if magic != MAGIC else f"a payload of {length} bytes")
                self._lost = True
                self.spoiled += 1
                continue
            end = at + HEADER_BYTES + length
            if len(buffer) < end:
                break
            payload = self._checked(at, end)
            at = end
            if payload is not None:
                frames.append(Frame(kind, payload, job, stream, offset, time_us))
        del buffer[:at]
        return frames

    def _checked(self, at: int, end: int) -> bytes | None:
        body = at + _HEADER.size
        with memoryview(self._buffer) as view:
            payload = bytes(view[body + _CRC.size : end])
            crc = zlib.crc32(payload, zlib.crc32(view[at:body]))
        if crc == _CRC.unpack_from(self._buffer, body)[0]:
            return payload
        if not self._tolerant:
            raise BadFrame("a frame's checksum is wrong")
        self.spoiled += 1
        return None

    def _found(self, at: int) -> bool:
        """Whether the place is known again; a lost reader throws away all that comes before a run of zeros."""
        if self._lost:
            quiet = self._buffer.find(_QUIET, at)
            del self._buffer[at : quiet if quiet >= 0 else max(at, len(self._buffer) - len(_QUIET) + 1)]
            self._lost = quiet < 0
        return not self._lost

    def _skip_quiet(self, at: int) -> int:
        if not self._tolerant or self._buffer[at : at + 1] != b"\0":
            return at
        return len(self._buffer) - len(self._buffer[at:].lstrip(b"\0"))
