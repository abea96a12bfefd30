"""Applies the rules to one run: lines and usage in, findings out. Pure, bounded, never raises for what it is fed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import re2

from app.domain.alerts import Finding
from app.domain.events import Event, HoneytokenTouched, NetworkAttempted
from app.domain.honeytokens import Honeytoken
from app.domain.limits import RunLimits
from app.safety.leaks import Leak, Leaks
from app.safety.rules import RULES, EventRule, LeakRule, LineRule, Resource, Rule, UsageRule
from app.store.output import StoredLine
from app.store.usage import UsagePoint

#: Bytes of a line that are looked at. A longer one is cut, not skipped. Of a line that came in pieces, because time
#: passed or it was too long, so many bytes of each piece together with as many before it: no cut tears a word apart.
MAX_LINE = 8 * 1024
#: Seconds in which a rule that found something says nothing more: a flood of findings tells no more than one.
QUIET_SECONDS = 5.0
MAX_QUOTE = 300
#: Lines looked at in one go before any is looked at alone.
_BLOCK = 256

#: What a terminal would not show and would tear a word apart: escape sequences, control and zero-width characters.
#: Python's own `re`, whose substitution is far faster; each part stops at the next escape, so the time stays linear.
_INVISIBLE = re.compile(
    rb"\x1b\[[0-?]{0,64}[ -/]{0,8}[@-~]|\x1b\][^\x07\x1b\n]{0,256}(?:\x07|\x1b\\)|\x1b[@-Z\\-_]?"
    rb"|[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f]|\xe2\x80[\x8b-\x8f\xaa-\xae]|\xe2\x81[\xa0-\xa9]|\xef\xbb\xbf|\xc2\xad"
)
#: First bytes of all of these. Looking for them by `translate` is twenty times faster than by the expression.
_INVISIBLE_STARTS = bytes([*range(9), 11, 12, *range(14, 32), 0x7F, 0xC2, 0xE2, 0xEF])
#: The beginning of one of these at a text's end; none is longer than so many bytes.
_BEGUN = re.compile(
    rb"(?:\x1b(?:\[[0-?]{0,64}[ -/]{0,8}|\][^\x07\x1b\n]{0,256}\x1b?)?|\xe2[\x80\x81]?|\xef\xbb?|\xc2)\Z"
)
_LONGEST_BEGUN = 260


class Watch:
    """One run's eye. Holds a few numbers a rule, however long the run."""

    def __init__(self, rules: Sequence[Rule] = RULES, *, honeytokens: Iterable[Honeytoken] = ()) -> None:
        self._line_rules = [(rule, _compile(rule.pattern)) for rule in rules if isinstance(rule, LineRule)]
        self._usage_rules = [rule for rule in rules if isinstance(rule, UsageRule)]
        self._event_rules = [rule for rule in rules if isinstance(rule, EventRule)]
        self._leak_rule = next((rule for rule in rules if isinstance(rule, LeakRule)), None)
        self._leaks = Leaks(honeytokens)
        self._told_at: dict[str, float] = {}
        self._streaks: dict[str, int] = {}
        self._unfinished: dict[int, bytes] = {}  # stream -> the end of what came of its line so far

    def lines(self, lines: Sequence[StoredLine]) -> list[Finding]:
        """What the rules find in `lines`; a rule speaks at most once in QUIET_SECONDS of the lines' own time."""
        findings: list[Finding] = []
        for start in range(0, len(lines), _BLOCK):
            findings += self._block(lines[start : start + _BLOCK])
        return findings

    def _block(self, block: Sequence[StoredLine]) -> list[Finding]:
        found: list[tuple[int, Finding]] = []
        if self._unfinished or not all(line.complete for line in block):
            found += [(index, finding) for index, line in enumerate(block) for finding in self._across(line)]
        # One search a rule for the whole block: the price does not grow with the number of near misses in it.
        text = _visible(b"\n".join([line.data[:MAX_LINE] for line in block]))
        for rule, pattern in self._line_rules:
            at = 0
            while (match := pattern.search(text, at)) is not None:
                index = min(text.count(b"\n", 0, match.start()), len(block) - 1)
                line = block[index]
                at = text.find(b"\n", match.start()) + 1
                if self._speaks(rule.name, line):
                    found.append((index, _finding(rule, line.number, _quote(text, match.start()))))
                if not at or abs(block[-1].at - line.at) < QUIET_SECONDS:
                    break
        found += self._leaked(block)
        return [finding for _, finding in sorted(found, key=lambda each: each[0])]

    def _across(self, line: StoredLine) -> list[Finding]:
        """What is found where `line` goes on from an unfinished one, and begins before the cut and ends after it.

        One look a rule: one that finds something before the cut has told of it already.
        """
        before = self._unfinished.pop(line.stream, b"")
        if not line.complete:
            self._unfinished[line.stream] = (before + line.data)[-MAX_LINE:]
        if not before or not line.data:
            return []
        found: list[Finding] = []
        text, cut, after = _joined(before, line.data[:MAX_LINE])
        for rule, pattern in self._line_rules:
            match = pattern.search(text)
            if match is not None and match.start() < after and match.end() > cut and self._speaks(rule.name, line):
                found.append(_finding(rule, line.number, _quote(text, match.start())))
        for leak in self._leaks.search(before + line.data[:MAX_LINE]):
            if leak.at < len(before) < leak.end:
                found += self._leak(leak, line)
        return found

    def _speaks(self, what: str, line: StoredLine) -> bool:
        """Whether it is long since `what` was told, which it is now."""
        # The clock may be set back, or be no number at all: only being near is a reason for silence.
        if abs(line.at - self._told_at.get(what, float("-inf"))) < QUIET_SECONDS:
            return False
        self._told_at[what] = line.at
        return True

    def _leak(self, leak: Leak, line: StoredLine) -> list[Finding]:
        told = f"{leak.place} {leak.how}"
        if self._leak_rule is None or not self._speaks(told, line):
            return []
        return [_finding(self._leak_rule, line.number, f"{leak.place} ({leak.how})")]

    def _leaked(self, block: Sequence[StoredLine]) -> list[tuple[int, Finding]]:
        """Looks at whole lines: what is sent away is long."""
        text = b"\n".join([line.data for line in block])
        found: list[tuple[int, Finding]] = []
        for leak in self._leaks.search(text):
            index = text.count(b"\n", 0, leak.at)
            found += [(index, finding) for finding in self._leak(leak, block[index])]
        return found

    def leaked(self, data: bytes, what: str) -> list[Finding]:
        """What of the honeytokens is in `data`, which the agent left as `what`."""
        found = {f"{leak.place} ({leak.how}) in {what}": leak for leak in self._leaks.search(data)}
        return [_finding(self._leak_rule, None, quote) for quote in found if self._leak_rule is not None]

    def event(self, event: Event) -> list[Finding]:
        """What the rules make of a fact that was seen from outside."""
        return [_finding(rule, None, _facts(event)) for rule in self._event_rules if isinstance(event, rule.event)]

    def usage(self, point: UsagePoint, limits: RunLimits) -> list[Finding]:
        """What the rules find in the newest point; a rule speaks once until its figure has fallen again."""
        findings: list[Finding] = []
        for rule in self._usage_rules:
            used, allowed, shown = _figure(rule.resource, point, limits)
            streak = self._streaks.get(rule.name, 0) + 1 if used >= rule.share * allowed else 0
            self._streaks[rule.name] = min(streak, rule.seconds + 1)
            if streak == rule.seconds:
                findings.append(_finding(rule, None, shown))
        return findings


def _finding(rule: Rule, line: int | None, quote: str) -> Finding:
    return Finding(
        rule=rule.name,
        category=rule.category,
        severity=rule.severity,
        title=rule.title,
        response=rule.response,
        line=line,
        quote=quote,
    )


def _facts(event: Event) -> str:
    match event:
        case HoneytokenTouched():
            return f"{event.place}, opened {event.count} times"
        case NetworkAttempted():
            return f"{event.count} tries, {event.total} since the start"
        case _:
            return type(event).__name__


def _figure(resource: Resource, point: UsagePoint, limits: RunLimits) -> tuple[float, float, str]:
    match resource:
        case Resource.MEMORY:
            used, allowed = point.memory_bytes, limits.memory_bytes
            return used, allowed, f"{used / 2**20:.0f} of {allowed / 2**20:.0f} MiB"
        case Resource.PROCESSES:
            return point.pids, limits.pids, f"{point.pids} of {limits.pids} processes"


def _visible(text: bytes) -> bytes:
    """`text` as a person would read it, with plain spaces; newlines stay where they are.

    A carriage return is a space too: what is printed before it and after it are two things.
    """
    if len(text.translate(None, _INVISIBLE_STARTS)) != len(text):
        text = _INVISIBLE.sub(b"", text)
    return text.replace(b"\t", b" ").replace(b"\r", b" ")


def _joined(before: bytes, data: bytes) -> tuple[bytes, int, int]:
    """`before` and `data` as a person would read them, where the one ends and where the other begins.

    Between the two is what is shown of a sequence that `before` ends in the middle of.
    """
    torn = _BEGUN.search(before, max(0, len(before) - _LONGEST_BEGUN))
    whole = len(before) if torn is None else torn.start()
    head = _visible(before[:whole])
    text = head + _visible(before[whole:] + data)
    return text, len(head), max(len(head), len(text) - len(_visible(data)))


def _quote(text: bytes, at: int) -> str:
    """The cited line around `at`, cut, with nothing in it that a page could take for anything but text."""
    start, end = text.rfind(b"\n", 0, at) + 1, text.find(b"\n", at)
    if at - start > MAX_QUOTE // 2:
        start = at - MAX_QUOTE // 3
    stop = min(len(text) if end < 0 else end, start + 4 * MAX_QUOTE)
    shown = text[start:stop].decode("utf-8", "backslashreplace")[:MAX_QUOTE]
    return "".join(sign if sign.isprintable() else " " for sign in shown).strip()


def _compile(pattern: str) -> re2._Regexp:
    options = re2.Options()
    options.case_sensitive = False
    options.never_capture = True
    options.log_errors = False
    # One letter a byte: no invalid text can hide what stands beside it.
    options.encoding = re2.Options.Encoding.LATIN1
    return re2.compile(b"(?m)" + pattern.encode("ascii"), options)
