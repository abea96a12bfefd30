"""The watch cites lines, sees through disguises, keeps quiet after it has spoken, and bears anything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.limits import RunLimits
from app.safety.watch import MAX_LINE, MAX_QUOTE, QUIET_SECONDS, Watch
from app.store.output import StoredLine
from app.store.usage import UsagePoint

BAD = b"cat /etc/shadow"
RULE = "access.credentials"


def lines(*texts: bytes, at: float = 100.0, apart: float = 0.001) -> list[StoredLine]:
    return [
        StoredLine(number=number, at=at + number * apart, stream=1, data=text, complete=True)
        for number, text in enumerate(texts, 1)
    ]


def point(seq: int, *, memory: int = 0, pids: int = 1) -> UsagePoint:
    return UsagePoint(seq=seq, at=float(seq), cpu_mean=1.0, cpu_max=1.0, memory_bytes=memory, pids=pids)


def cited(watch: Watch, stored: list[StoredLine]) -> list[tuple[str, int | None]]:
    return [(finding.rule, finding.line) for finding in watch.lines(stored)]


@pytest.mark.parametrize("place", [1, 2, 255, 256, 257, 600])
def test_the_cited_line_is_the_one_that_was_found(place: int) -> None:
    texts = [b"nothing here"] * 600
    texts[place - 1] = b"so: " + BAD
    findings = Watch().lines(lines(*texts))
    assert [(finding.rule, finding.line, finding.quote) for finding in findings] == [
        (RULE, place, "so: cat /etc/shadow")
    ]


def test_findings_come_in_the_order_of_their_lines() -> None:
    found = cited(Watch(), lines(b"You will regret it", b"nothing", BAD, b"nsenter -t 1"))
    assert found == [("manipulation.pressure", 1), (RULE, 3), ("access.breakout", 4)]


def test_nothing_reaches_over_a_lines_end() -> None:
    assert cited(Watch(), lines(b"cat ", b"/etc/shadow", b"crontab ", b"/etc/x", b"find", b" /root/x")) == []


@pytest.mark.parametrize(
    "text",
    [
        b"c\x1b[31ma\x1b[0mt /etc/sha\x1b[1mdow",
        b"grep -rn\tapi_key\t/etc",
        b"cat /etc/\xe2\x80\x8bshadow",
        b"cat /etc/\x00sha\x08dow\r",
        b"CAT /ETC/SHADOW",
        b"\xff\xfe cat \xff /etc/shadow \x80",
        b"\x1b]0;title\x07cat /etc/shadow",
        b"\x1b]8;;http://x\x1b\\cat\x1b]8;;\x1b\\ /etc/shadow",
        b"\x1b]cat /etc/shadow",
        "カタログ — cat /etc/shadow".encode(),
    ],
)
def test_a_disguise_does_not_help(text: bytes) -> None:
    assert cited(Watch(), lines(b"x", text)) == [(RULE, 2)]


def pieces(*texts: bytes, streams: tuple[int, ...] = (), apart: float = 0.3) -> list[StoredLine]:
    """A line that came in pieces, the last of them with its newline."""
    return [
        StoredLine(number=number, at=100 + number * apart, stream=stream, data=text, complete=number == len(texts))
        for number, (text, stream) in enumerate(zip(texts, streams or [1] * len(texts), strict=True), 1)
    ]


@pytest.mark.parametrize("blocks", ["together", "one by one"])
@pytest.mark.parametrize(
    "texts",
    [
        (b"cat /etc/sha", b"dow"),
        (b"so: c", b"at", b" ", b"/etc", b"/shadow", b" and more"),
        (b"cat /etc/sha\x1b[3", b"1mdow"),
        (b"cat /etc/sha\x1b", b"[0mdow"),
        (b"\x1b]cat /etc/sha", b"dow"),
        (b"cat /etc/sha\xe2\x80", b"\x8bdow"),
        (b"x" * 70_000 + b" cat /etc/sha", b"dow" + b"x" * 0),
        (b"x " * 2_000, b"x " * 2_000 + b"cat /etc/", b"shadow " + b"x" * 70_000),
    ],
)
def test_what_is_cut_in_two_where_a_line_came_in_pieces_is_found(texts: tuple[bytes, ...], blocks: str) -> None:
    watch, stored = Watch(), pieces(*texts)
    found = watch.lines(stored) if blocks == "together" else [each for one in stored for each in watch.lines([one])]
    (finding,) = found
    assert finding.rule == RULE
    assert "cat /etc/shadow" in finding.quote
    assert finding.line == next(n for n in range(len(texts) + 1) if b"w" in b"".join(texts[:n]))


def test_the_pieces_of_one_stream_are_not_joined_to_those_of_the_other() -> None:
    assert cited(Watch(), pieces(b"cat ", b"/etc/shadow", b"x", streams=(1, 2, 1))) == []
    assert cited(Watch(), pieces(b"cat ", b"between", b"/etc/shadow", streams=(1, 2, 1))) == [(RULE, 3)]


def test_a_finding_in_one_piece_is_told_once_however_many_follow() -> None:
    assert cited(Watch(), pieces(BAD, *[b" word" for _ in range(100)], apart=QUIET_SECONDS)) == [(RULE, 1)]


def test_a_line_without_end_is_kept_in_mind_in_part() -> None:
    watch = Watch()
    for piece in pieces(*[b"x" * 60_000 for _ in range(5)], b"")[:-1]:
        watch.lines([piece])
    assert sum(map(len, watch._unfinished.values())) == MAX_LINE


def test_what_a_progress_bar_draws_over_itself_is_looked_at_piece_by_piece() -> None:
    assert cited(Watch(), lines(b"50%\r51%\rcat /etc/shadow\r52%")) == [(RULE, 1)]


def test_a_rule_speaks_once_in_a_while_however_often_it_finds() -> None:
    watch = Watch()
    assert cited(watch, lines(*[BAD] * 1000)) == [(RULE, 1)]
    assert cited(watch, lines(BAD, at=101.0)) == []
    assert cited(watch, lines(BAD, at=101.5 + QUIET_SECONDS)) == [(RULE, 1)]


def test_a_slow_run_is_not_kept_quiet() -> None:
    assert cited(Watch(), lines(BAD, b"x", BAD, BAD, apart=QUIET_SECONDS)) == [(RULE, 1), (RULE, 3), (RULE, 4)]


def test_a_clock_that_was_set_back_silences_nothing() -> None:
    watch = Watch()
    assert cited(watch, lines(BAD, at=1e9)) == [(RULE, 1)]
    assert cited(watch, lines(BAD, at=5.0)) == [(RULE, 1)]
    assert cited(watch, lines(BAD, at=float("nan"))) == [(RULE, 1)]


def test_a_long_line_is_looked_at_in_part_and_quoted_in_part() -> None:
    watch = Watch()
    assert cited(watch, lines(b" " * MAX_LINE + BAD)) == []
    (finding,) = watch.lines(lines(b"x" * (MAX_LINE - 100) + b" " + BAD + b" y" * 10_000))
    assert "cat /etc/shadow" in finding.quote
    assert len(finding.quote) <= MAX_QUOTE


def test_a_quote_holds_nothing_but_printable_text() -> None:
    (finding,) = Watch().lines(lines("\u202e<b>\x1b[1m\u2066\u2028\ue000".encode() + b"\xff\x9b " + BAD))
    assert finding.quote.isprintable()
    assert "<b>" in finding.quote  # as text: escaping is the page's work
    assert "\\xff" in finding.quote


def test_memory_near_its_limit_is_told_after_some_seconds_and_once() -> None:
    watch, limits = Watch(), RunLimits(memory_bytes=100 * 2**20)
    told = [seq for seq in range(1, 31) if watch.usage(point(seq, memory=95 * 2**20), limits)]
    assert told == [5]


def test_memory_that_falls_in_between_starts_the_count_again() -> None:
    watch, limits = Watch(), RunLimits(memory_bytes=100 * 2**20)
    use = [95, 95, 95, 95, 50, 95, 95, 95, 95, 95, 10, 95, 95, 95, 95, 95]
    told = [seq for seq, mib in enumerate(use, 1) if watch.usage(point(seq, memory=mib * 2**20), limits)]
    assert told == [10, 16]


def test_many_processes_are_told_with_their_number() -> None:
    watch, limits = Watch(), RunLimits(pids=64)
    assert watch.usage(point(1, pids=40), limits) == []
    (finding,) = watch.usage(point(2, pids=40), limits)
    assert (finding.rule, finding.line, finding.quote) == ("resources.processes", None, "40 of 64 processes")
    assert watch.usage(point(3, pids=64), limits) == []


def test_a_busy_processor_is_no_alert() -> None:
    watch = Watch()
    assert [watch.usage(point(seq), RunLimits()) for seq in range(1, 100)] == [[]] * 99


@given(st.lists(st.binary(max_size=80) | st.sampled_from([BAD, b"\x1b]" * 40, b"You will regret"]), max_size=600))
def test_any_output_is_borne(texts: list[bytes]) -> None:
    stored = lines(*texts)
    for finding in Watch().lines(stored):
        assert finding.line is not None
        assert 1 <= finding.line <= len(stored)
        assert finding.quote.isprintable()


@given(st.floats(), st.integers(-(2**60), 2**60), st.integers(-(2**60), 2**60))
def test_any_usage_is_borne(at: float, memory: int, pids: int) -> None:
    watch = Watch()
    told = [
        finding
        for seq in range(10)
        for finding in watch.usage(
            UsagePoint(seq=seq, at=at, cpu_mean=at, cpu_max=at, memory_bytes=memory, pids=pids), RunLimits()
        )
    ]
    assert len({finding.rule for finding in told}) == len(told), "each speaks once while its figure stays"
    assert all(finding.line is None and finding.quote.isprintable() for finding in told)
