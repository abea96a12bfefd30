"""One run as its readers see it: a chain of heads, each with the encoded frames that lead to it from the one before.

The feed reads for all when the bell has rung. A reader at the last head is sent the next one's frames as they are; one
that is elsewhere (it has just come, it was slow, there was too much at once) reads on after its cursor at its own pace,
and what it asks for first is encoded once for those who follow.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from app.domain.attendance import Attended
from app.store import output, usage
from app.store.database import Database
from app.store.news import Standing
from app.store.output import StoredLine
from app.store.usage import UsagePoint
from app.supervision.doorbell import Bell, Doorbell
from app.supervision.recorder import Account
from app.web.contexts.fragments import Panel
from app.web.live.feed import WITH_NEWS_SECONDS, Feed
from app.web.live.frames import Cursor, at, frame
from app.web.live.reading import MOST_BYTES, MOST_LINES, Reading
from app.web.live.rung import rung_since, rung_within
from app.web.parts import WatcherView
from app.web.templates import Pages
from app.web.views.log import fitting, row
from app.web.views.panel import alerts_of, panel_of
from app.web.views.usage import usage_row

#: While it is busy a run is read at most once in this time, in seconds; an idle one at once.
GATHER_SECONDS = 0.02
#: The panel follows an event at once; the rest of it (how much of each limit is used) at most this often, in seconds.
#: It is the largest frame by far. Its clock goes on by itself in the page; tally and usage have frames of their own.
PANEL_SECONDS = 5.0
#: Seconds between two tallies.
TALLY_SECONDS = 0.5
MOST_POINTS = 600
#: Encoded frames of the chain that a reader finds which was slow, in bytes.
CHAINED_BYTES = 1024 * 1024
#: Encoded frames that are kept for those who read on by themselves, in bytes.
KEPT_BYTES = 4 * 1024 * 1024


@dataclass(slots=True, kw_only=True, eq=False)
class Head:
    """How far the run is. `panel`, `alerts` and `tally` are other objects exactly when they changed."""

    standing: Standing
    cursor: Cursor
    panel: bytes
    alerts: bytes
    tally: bytes
    output: bytes | None = None  #: frames from the head before to this one; None: each reader reads them itself
    step: bytes | None = (
        None  #: all that whoever has everything of the head before is sent; None: each looks for itself
    )
    next: Head | None = None

    @property
    def ended(self) -> bool:
        return not self.standing.live


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """An encoded frame and the number of the last thing in it."""

    frame: bytes
    last: int


class RunFeed(Feed):
    """Shared by all readers of one run. Fails with `NotFound` when there is no such run."""

    def __init__(
        self,
        run: int,
        *,
        db: Database,
        reading: Reading,
        doorbell: Doorbell,
        pages: Pages,
        account: Callable[[int], Account | None],
        watchers: Callable[[int], tuple[WatcherView, ...]],
        attended: Callable[[int], Attended | None],
        commands: tuple[str, ...],
    ) -> None:
        super().__init__()
        self._attended = attended
        self._commands = commands
        self._account = account
        self._watchers = watchers
        self._panel: Panel | None = None
        self._tally_at = 0.0
        self._tally_due = False
        self._tally = b""
        self._usage_since: float | None = None  #: monotonic; usage waits for other news to travel with
        self._run = run
        self._db = db
        self._reading = reading
        self._doorbell = doorbell
        self._pages = pages
        self._head: Head | None = None
        self._panel_at = 0.0
        self._panel_due = False
        self._chain: deque[Head] = deque()
        self._chained = 0
        self._lock = asyncio.Lock()
        self._links: OrderedDict[tuple[str, int], Link] = OrderedDict()
        self._kept = 0

    @property
    def head(self) -> Head:
        """The newest. Only when `ready`. Raises what reading raised."""
        self.require_whole()
        assert self._head is not None
        return self._head

    async def follow(self) -> None:
        with self._doorbell.listen(self._run) as bell:
            while True:
                read_at = time.monotonic()
                await self._look()
                await self._news(bell)
                await asyncio.sleep(max(0.0, read_at + GATHER_SECONDS - time.monotonic()))
                await rung_since(bell)  # What rang meanwhile is read now; what rings from here on is not lost.

    async def _news(self, bell: Bell) -> None:
        """Until something rang, or what was put off is due and nothing came that it could travel with."""
        panel = self._panel_at + PANEL_SECONDS if self._panel_due else math.inf
        tally = self._tally_at + TALLY_SECONDS if self._tally_due else math.inf
        points = math.inf if self._usage_since is None else self._usage_since
        await rung_within(bell, min(panel, tally, points) + WITH_NEWS_SECONDS - time.monotonic())

    async def _look(self) -> None:
        old = self._head
        since = old.standing if old else None
        found = await self._reading.news(self._run, since)
        now = found.standing
        panel, alerts, event = await self._fragments(old, now.events)
        self._count(now)
        cursor = Cursor(event=event, line=now.lines, usage=now.usage)
        head = Head(standing=now, cursor=cursor, panel=panel, alerts=alerts, tally=self._tally)
        if old is not None:
            if panel is old.panel and alerts is old.alerts and head.tally is old.tally and self._may_wait(old, head):
                return
            self._usage_since = None
            head.output = await self._output(old, head, found.lines)
            head.step = _step(old, head)
            self._chain_up(old, head)
        self._head = head
        await self.tell()

    def _may_wait(self, old: Head, head: Head) -> bool:
        """Whether the record has nothing new for readers, or for a while yet nothing but usage."""
        if head.standing == old.standing:
            return True
        if head.standing != replace(old.standing, usage=head.standing.usage):
            return False
        if self._usage_since is None:
            self._usage_since = time.monotonic()
        return time.monotonic() - self._usage_since < WITH_NEWS_SECONDS

    async def _fragments(self, old: Head | None, event: int) -> tuple[bytes, bytes, int]:
        """Panel and alerts, and the last event they know: the old ones when they are young and nothing happened."""
        young = time.monotonic() - self._panel_at < PANEL_SECONDS
        self._panel_due = old is not None and event == old.cursor.event and young
        if old is not None and self._panel_due:
            return old.panel, old.alerts, event
        self._panel_at = time.monotonic()
        watchers, account = self._watchers(self._run), self._account(self._run)
        view, event = await panel_of(
            self._db,
            self._run,
            now=time.time(),
            watchers=watchers,
            account=account,
            attended=self._attended(self._run),
            commands=self._commands,
        )
        self._panel = view
        panel = frame("panel", {"run": self._run, "html": self._pages.render(view)})
        found = await alerts_of(self._db, self._run)
        alerts = frame("alerts", {"run": self._run, "html": self._pages.render(found)})
        if old is None:
            return panel, alerts, event
        return old.panel if panel == old.panel else panel, old.alerts if alerts == old.alerts else alerts, event

    async def _output(self, old: Head, head: Head, lines: Sequence[StoredLine] | None) -> bytes | None:
        """Frames from `old` to `head`, usage first, for all who are there."""
        if lines is None or head.cursor.usage - old.cursor.usage > MOST_POINTS:
            return None
        frames, cursor = [], Cursor(event=head.cursor.event, line=old.cursor.line, usage=head.cursor.usage)
        if cursor.usage > old.cursor.usage:
            points = await usage.read(self._db, self._run, after=old.cursor.usage, limit=MOST_POINTS)
            frames.append(at(cursor, self._usage([point for point in points if point.seq <= cursor.usage])))
        if lines:
            frames.append(at(head.cursor, self._lines(lines)))
        if head.ended and not old.ended:
            frames.append(at(head.cursor, self.eof()))
        return b"".join(frames)

    def _count(self, now: Standing) -> None:
        """Makes the tally anew when it changed and it is time.

        It holds what its keeper says it printed against what is stored, and how many bytes are known to be lost.
        `printed` counts the lost ones too, and is null when nobody counted; `newest` is when the newest output that
        has arrived was printed.
        """
        account, panel = self._account(self._run), self._panel
        assert panel is not None
        lost = panel.lost_bytes + (account.cut if account else 0)
        printed = panel.printed if account is None else account.printed + lost
        newest = account.printed_at if account else 0.0
        stored = {"stored": now.bytes, "lines": now.lines, "lost": lost, "newest": round(newest, 3)}
        tally = frame("tally", {"run": self._run, "printed": printed, **stored})
        changed = tally != self._tally
        self._tally_due = changed and time.monotonic() - self._tally_at < TALLY_SECONDS
        if changed and not self._tally_due:
            self._tally, self._tally_at = tally, time.monotonic()

    def _chain_up(self, old: Head, head: Head) -> None:
        old.next = head
        self._chain.append(old)
        self._chained += len(head.output or b"")
        while self._chained > CHAINED_BYTES and len(self._chain) > 1:
            # Whoever stands there has been slow: it reads on by itself, and holds none of what follows.
            dropped = self._chain.popleft()
            assert dropped.next is not None
            self._chained -= len(dropped.next.output or b"")
            dropped.next = None

    def eof(self) -> bytes:
        return frame("eof", {"run": self._run})

    async def lines_after(self, line: int) -> Link | None:
        """The frame that follows line number `line`: whoever asks first decides where it ends; None at the head."""
        async with self._lock:
            known = self._links.get(("lines", line))
            if known is not None:
                return known
            limit = min(MOST_LINES, self.head.cursor.line - line)
            stored = await output.read(self._db, self._run, after=line, limit=limit)
            if not stored:
                return None
            kept = fitting(stored, MOST_BYTES)
            return self._keep("lines", line, Link(frame=self._lines(kept), last=kept[-1].number))

    def _lines(self, lines: Sequence[StoredLine]) -> bytes:
        return frame("lines", {"run": self._run, "lines": [row(one) for one in lines]})

    async def usage_after(self, seq: int) -> Link | None:
        """The frame that follows usage point `seq`; None at the head."""
        async with self._lock:
            known = self._links.get(("usage", seq))
            if known is not None:
                return known
            points = await usage.read(self._db, self._run, after=seq, limit=MOST_POINTS)
            points = [point for point in points if point.seq <= self.head.cursor.usage]
            if not points:
                return None
            return self._keep("usage", seq, Link(frame=self._usage(points), last=points[-1].seq))

    def _usage(self, points: Sequence[UsagePoint]) -> bytes:
        return frame("usage", {"run": self._run, "points": [usage_row(point) for point in points]})

    def _keep(self, kind: str, after: int, link: Link) -> Link:
        self._links[kind, after] = link
        self._kept += len(link.frame)
        while self._kept > KEPT_BYTES:
            _, dropped = self._links.popitem(last=False)
            self._kept -= len(dropped.frame)
        return link


def _step(old: Head, head: Head) -> bytes | None:
    """Made once for the many who keep up. A changed list of alerts is not in it: that goes before all other news."""
    if head.output is None or head.alerts is not old.alerts:
        return None
    cursor = Cursor(event=head.cursor.event, line=old.cursor.line, usage=old.cursor.usage)
    panel = b"" if head.panel is old.panel else at(cursor, head.panel)
    return b"".join(part for part in (panel, head.output, b"" if head.tally is old.tally else head.tally) if part)
