"""One run as its readers see it: heads, and encoded frames of lines and usage that follow each other like a chain."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from app.store import events, output, runs, usage
from app.store.database import Database
from app.supervision.doorbell import Doorbell
from app.supervision.recorder import Account
from app.web.contexts import Panel
from app.web.live.frames import frame
from app.web.live.rung import rung_since
from app.web.parts import WatcherView
from app.web.templates import Pages
from app.web.views.log import fitting, row
from app.web.views.panel import alerts_of, panel_of
from app.web.views.usage import usage_row

#: While it is busy a run is read at most once in this time, in seconds; an idle one at once.
GATHER_SECONDS = 0.02
#: The panel follows an event at once; the rest of it (counters, reasons) at most this often, in seconds.
PANEL_SECONDS = 1.0
MOST_ROWS = 200
#: Shown bytes of a frame: a page handles one frame per animation frame.
MOST_BYTES = 128 * 1024
MOST_POINTS = 600
#: Encoded frames that are kept for the other readers, in bytes.
KEPT_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """How far the run is. Versions grow when the encoded fragment changes."""

    event: int = 0
    line: int = 0
    usage: int = 0
    ended: bool = False
    version: int = 0
    panel: bytes = b""
    alerts_version: int = 0
    alerts: bytes = b""
    bytes: int = 0
    printed: int | None = None  #: as the record has it, lost bytes included
    lost: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """An encoded frame and the number of the last thing in it."""

    frame: bytes
    last: int


class RunFeed:
    """Shared by all readers of one run. Raises `NotFound` from `look` when there is no such run."""

    def __init__(
        self,
        run: int,
        *,
        db: Database,
        doorbell: Doorbell,
        pages: Pages,
        account: Callable[[int], Account | None],
        watchers: Callable[[int], tuple[WatcherView, ...]],
    ) -> None:
        self._run = run
        self._db = db
        self._pages = pages
        self._account = account
        self._watchers = watchers
        self._listening = contextlib.ExitStack()
        self._bell = self._listening.enter_context(doorbell.listen(run))
        self._lock = asyncio.Lock()
        self._head: Head | None = None
        self._rang = False
        self._read_at = 0.0
        self._panel_at = 0.0
        self._panel_due = False
        self._links: OrderedDict[tuple[str, int], Link] = OrderedDict()
        self._kept = 0

    def close(self) -> None:
        self._listening.close()

    async def look(self) -> Head:
        """The head, read again when something rang since anyone looked: the first to come reads for all."""
        async with self._lock:
            # Kept until it was read: who reads may be cancelled on the way.
            self._rang = self._rang or bool(await rung_since(self._bell))
            if self._head is None or self._rang or self.due_in() == 0.0:
                await asyncio.sleep(max(0.0, self._read_at + GATHER_SECONDS - time.monotonic()))
                await rung_since(self._bell)  # What rang meanwhile is read now; what rings from here on is not lost.
                self._read_at = time.monotonic()
                self._head = await self._read(self._head or Head())
                self._rang = False
            return self._head

    def due_in(self) -> float:
        """Seconds until a look is worth it though nothing rings: what was put off is then shown."""
        return max(0.0, self._panel_at + PANEL_SECONDS - time.monotonic()) if self._panel_due else math.inf

    async def _read(self, old: Head) -> Head:
        run = await runs.get(self._db, self._run)
        event = await events.last_seq(self._db, self._run)
        newest = await usage.last(self._db, self._run, 1)
        self._panel_due = event == old.event and time.monotonic() - self._panel_at < PANEL_SECONDS
        html, alerts, printed, lost = old.panel, old.alerts, old.printed, old.lost
        if not self._panel_due:
            self._panel_at = time.monotonic()
            html, alerts, event, panel = await self._fragments()
            printed, lost = panel.printed, panel.lost_bytes
        return Head(
            event=event,
            line=run.lines,
            usage=newest[-1].seq if newest else 0,
            ended=not run.live,
            version=old.version + (html != old.panel),
            panel=html,
            alerts_version=old.alerts_version + (alerts != old.alerts),
            alerts=alerts,
            bytes=run.bytes,
            printed=printed,
            lost=lost,
        )

    def tally(self, head: Head) -> bytes:
        """What its keeper says it printed, what is stored, and how many bytes are known to be lost.

        `printed` counts the lost ones too, and is null when nobody counted; `newest` is when the newest output that
        has arrived was printed.
        """
        account = self._account(self._run)
        lost = head.lost + (account.cut if account else 0)
        printed = head.printed if account is None else account.printed + lost
        newest = account.printed_at if account else 0.0
        stored = {"stored": head.bytes, "lines": head.line, "lost": lost, "newest": round(newest, 3)}
        return frame("tally", {"run": self._run, "printed": printed, **stored})

    async def _fragments(self) -> tuple[bytes, bytes, int, Panel]:
        """Panel and alerts, encoded, the last event they know, and the panel."""
        watchers, account = self._watchers(self._run), self._account(self._run)
        panel, event = await panel_of(self._db, self._run, now=time.time(), watchers=watchers, account=account)
        alerts = await alerts_of(self._db, self._run)
        return (
            frame("panel", {"run": self._run, "html": self._pages.render(panel)}),
            frame("alerts", {"run": self._run, "html": self._pages.render(alerts)}),
            event,
            panel,
        )

    async def lines_after(self, line: int) -> Link | None:
        """The frame that follows line number `line`: whoever asks first decides where it ends; None at the end."""
        async with self._lock:
            known = self._links.get(("lines", line))
            if known is not None:
                return known
            stored = await output.read(self._db, self._run, after=line, limit=MOST_ROWS)
            if not stored:
                return None
            kept = fitting(stored, MOST_BYTES)
            made = frame("lines", {"run": self._run, "lines": [row(one) for one in kept]})
            return self._keep("lines", line, Link(frame=made, last=kept[-1].number))

    async def usage_after(self, seq: int) -> Link | None:
        """The frame that follows usage point `seq`; None at the end."""
        async with self._lock:
            known = self._links.get(("usage", seq))
            if known is not None:
                return known
            points = await usage.read(self._db, self._run, after=seq, limit=MOST_POINTS)
            if not points:
                return None
            made = frame("usage", {"run": self._run, "points": [usage_row(point) for point in points]})
            return self._keep("usage", seq, Link(frame=made, last=points[-1].seq))

    def _keep(self, kind: str, after: int, link: Link) -> Link:
        self._links[kind, after] = link
        self._kept += len(link.frame)
        while self._kept > KEPT_BYTES:
            _, dropped = self._links.popitem(last=False)
            self._kept -= len(dropped.frame)
        return link
