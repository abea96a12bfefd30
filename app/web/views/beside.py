"""One of two runs beside each other: its state, its newest lines and its charts."""

from __future__ import annotations

from app.domain.runs import Run
from app.store import alerts
from app.store.database import Database
from app.web.contexts.fragments import Panel
from app.web.contexts.run import OutputPane, SearchForm, Side
from app.web.live.frames import Cursor
from app.web.output_query import LEVELS
from app.web.parts import WatcherView
from app.web.views import log
from app.web.views.charts import charts_of
from app.web.views.panel import panel_of

#: What the ids of each side begin with.
PANES = ("left-", "right-")


async def side_of(
    db: Database, run: Run, *, watchers: tuple[WatcherView, ...], pane: str, nonce: str, now: float
) -> Side:
    """`run` as it is, with its end in view."""
    panel, event = await panel_of(db, run.id, now=now, watchers=watchers)
    charts = await charts_of(db, run, nonce=nonce, pane=pane)
    output = await _newest(db, panel, pane=pane, lines=run.lines)
    cursor = Cursor(event=event, line=output.last, usage=charts.points[-1][0] if charts.points else 0)
    return Side(
        run=panel.run,
        receipts=panel.receipts,
        watchers=panel.watchers,
        alerts=len(await alerts.select(db, run=run.id)),
        agent_at=next((phase.at for phase in panel.phases if phase.name == "agent"), None),
        output=output,
        charts=charts,
        cursor=str(cursor),
    )


async def _newest(db: Database, panel: Panel, *, pane: str, lines: int) -> OutputPane:
    run = panel.run
    window = await log.newest(db, run.id, lines=lines)
    href = f"/runs/{run.id}"
    return OutputPane(
        pane=pane,
        href=href,
        run=run,
        lines=window.lines,
        older=f"{href}?line={max(1, window.first - log.WINDOW // 2)}" if window.first > 1 else None,
        newer=None,
        first=window.first,
        last=window.last,
        total=window.last,
        at_end=True,
        search=SearchForm(),
        levels=tuple(LEVELS),
        steps=panel.steps,
    )
