"""gVisor's messages are read as an adversary's: right ones are told, all others refused, none harms."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox_runner.gvisor_trace import MAX_TEXT, BadMessage, read_message


def packet(kind: int, body: bytes, *, dropped: int = 0, size: int = 8) -> bytes:
    return struct.pack("<HHI", size, kind, dropped) + body


def field(number: int, value: bytes) -> bytes:
    length = len(value)
    low = bytes([length]) if length < 128 else bytes([length & 127 | 128, length >> 7])
    return bytes([number << 3 | 2]) + low + value


CONTEXT = field(1, field(9, b"python3"))


def told(kind: int, body: bytes) -> str | None:
    seen, _ = read_message(packet(kind, CONTEXT + body))
    return None if seen is None else f"{seen.kind} {seen.what}"


def test_programs_are_told_with_their_arguments() -> None:
    assert told(3, field(2, b"/bin/echo") + field(3, b"echo") + field(3, b"hi")) == "exec echo hi"


def test_paths_are_told_as_the_sandbox_resolves_them() -> None:
    assert told(7, field(6, b"/etc/passwd")) == "open /etc/passwd"
    assert told(7, field(5, b"/home/agent") + field(6, b".aws/credentials")) == "open /home/agent/.aws/credentials"
    assert told(7, field(6, b"/var/run/docker.sock")) == "open /run/docker.sock"
    assert told(7, field(6, b"/tmp/../run/../run/x")) == "open /run/x"


def test_only_addresses_outside_are_told() -> None:
    assert told(10, field(6, struct.pack("<H", 2) + b"\x01\xbb\x01\x01\x01\x01")) == "connect 1.1.1.1 port 443"
    assert told(10, field(6, struct.pack("<H", 2) + b"\x01\xbb\x7f\x00\x00\x01")) is None
    six = struct.pack("<H", 10) + b"\x00\x35" + bytes(4) + bytes.fromhex("20010db8" + "0" * 23 + "1") + bytes(4)
    assert told(10, field(6, six)) == "connect 2001:db8::1 port 53"
    assert told(10, field(6, struct.pack("<H", 1) + b"/var/run/nscd/socket")) is None


def test_what_was_dropped_is_told_and_other_messages_are_not() -> None:
    assert read_message(packet(2, b"\xff\xff", dropped=7)) == (None, 7)


def test_long_texts_and_many_arguments_are_cut() -> None:
    seen, _ = read_message(packet(3, b"".join(field(3, b"x" * 1000) for _ in range(200))))
    assert seen is not None
    assert len(seen.what) <= MAX_TEXT


@pytest.mark.parametrize(
    "spoiled",
    [
        b"",
        b"\x08\x00\x03",
        packet(3, b"", size=7),
        packet(3, b"", size=9),
        packet(3, b"\x1a\x7f"),
        packet(7, b"\x32" + b"\xff" * 20),
        packet(7, b"\x80"),
        packet(7, b"\x33"),
    ],
)
def test_what_is_no_message_is_refused(spoiled: bytes) -> None:
    with pytest.raises(BadMessage):
        read_message(spoiled)


@settings(deadline=None)
@given(
    st.sampled_from([3, 7, 10]),
    st.binary(max_size=300)
    | st.lists(st.builds(field, st.sampled_from([3, 5, 6]), st.binary(max_size=200)), max_size=4).map(b"".join),
)
def test_any_bytes_are_read_or_refused(kind: int, body: bytes) -> None:
    seen, dropped = None, 7
    try:
        seen, dropped = read_message(packet(kind, body, dropped=7))
    except BadMessage:
        pass
    assert dropped == 7
    assert seen is None or seen.kind == {3: "exec", 7: "open", 10: "connect"}[kind]
