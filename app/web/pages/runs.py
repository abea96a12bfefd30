"""GET /runs/{run}: the run page."""

from __future__ import annotations

import time
from urllib.parse import urlencode

from starlette.responses import Response

from app.domain.errors import Refused
from app.domain.runs import Run
from app.store import runs
from app.web.access import Visitor
from app.web.answers import frame_of, page, problem_of
from app.web.asked import path_id, query_number
from app.web.contexts.fragments import Panel
from app.web.contexts.run import OutputPane, RunPage, SearchForm, TimeBar
from app.web.filters import clock_text
from app.web.live.frames import Cursor
from app.web.output_query import LEVELS, query_of
from app.web.state import WebRequest
from app.web.text import visible
from app.web.views import log
from app.web.views.charts import charts_of
from app.web.views.panel import alerts_of, panel_of
from app.web.views.past import as_it_was
from app.web.views.runs import run_view
from app.web.written_time import moment_of


async def show(request: WebRequest, visitor: Visitor) -> Response:
    """The newest lines, those around ?line=N, or all as it was at ?at=; its stream goes on after what there is now."""
    db, run_id, now = request.state["db"], path_id(request, "run"), time.time()
    run = await runs.get(db, run_id)
    bar = time_bar(run, request.query_params.get("at", ""), now=now)
    frame = await frame_of(request, visitor, title=f"Run {run_id} · {run.task_id}")
    charts = await charts_of(db, run, nonce=frame.nonce, until=bar.at)
    until = None
    if bar.at is None:
        supervisor, watchers = request.state["supervisor"], request.state["feeds"].presence.of(run_id)
        account, attended = supervisor.account(run_id), supervisor.attended(run_id)
        panel, event = await panel_of(
            db,
            run_id,
            now=now,
            watchers=watchers,
            account=account,
            attended=attended,
            commands=request.state["stop_commands"].of_run(run_id),
        )
        alerts = found = await alerts_of(db, run_id)
    else:
        was, found = await as_it_was(db, run, bar.at), await alerts_of(db, run_id)
        panel, event, alerts, until = was.panel, 0, was.alerts, was.past.line
    pane = await output_of(request, panel, lines=run.lines, until=until)
    cursor = Cursor(event=event, line=pane.total, usage=charts.points[-1][0] if charts.points else 0)
    context = RunPage(
        frame=frame,
        panel=panel,
        alerts=alerts,
        alerted=max((alert.id for alert in found.alerts), default=0),
        output=pane,
        time=bar,
        cursor=str(cursor),
        stream=f"/stream?run={run_id}&after={cursor}",
        charts=charts,
        stop_again=request.query_params.get("stop") == "asked" and run.live,
    )
    return page(request, context)


def time_bar(run: Run, text: str, *, now: float) -> TimeBar:
    """What moment `text` asks for. Before the run's beginning is its beginning; from its end on it is now."""
    began, end = run.started_at or run.created_at, run.ended_at or now
    problem, at = None, None
    try:
        at = max(run.created_at, moment_of(text, start=began, now=now)) if text else None
    except Refused as error:
        problem = problem_of(error)
    at = None if at is None or at >= end else at
    written = "" if at is None else clock_text(at)
    return TimeBar(
        run=run_view(run, now=now),
        began=began,
        now=end,
        at=at,
        written=visible(text, limit=40) if problem else written,
        problem=problem,
    )


async def output_of(request: WebRequest, panel: Panel, *, lines: int, until: int | None) -> OutputPane:
    """The one pane of a page: of a run with so many `lines`, or of its first `until`."""
    db, run, last = request.state["db"], panel.run, lines if until is None else until
    line = query_number(request, "line", 0)
    form, view = asked_view(request)
    window = (await log.around(db, run.id, line=line, view=view)) if 0 < line <= last else None
    if window is None or (until is not None and window.last > until):
        window = await log.newest(db, run.id, lines=last, view=view)
    at_end = window.last >= lines
    return OutputPane(
        pane="",
        href="",
        run=run,
        lines=window.lines,
        older=_at(request, max(1, window.first - log.WINDOW // 2)) if window.first > 1 else None,
        newer=None if window.last >= last else _at(request, window.last + log.WINDOW // 2),
        first=window.first,
        last=window.last,
        # A window in the middle is not followed by what comes live: the stream goes on where the run is.
        total=window.last if at_end else lines,
        at_end=at_end,
        search=form,
        levels=tuple(LEVELS),
        steps=panel.steps,
        until=until,
        line=line,
    )


def asked_view(request: WebRequest) -> tuple[SearchForm, log.View]:
    """What is looked for, as the form shows it, and the view it gives; a bad pattern is explained and finds nothing."""
    asked = request.query_params
    problem, query = None, None
    try:
        query = query_of(request)
    except Refused as error:
        problem = problem_of(error)
    only = asked.get("only") == "1"
    form = SearchForm(
        q=asked.get("q", "")[:1000],
        regex=asked.get("regex") == "1",
        case=asked.get("case") == "1",
        inverse=asked.get("inverse") == "1",
        only=only,
        streams=frozenset(asked.getlist("stream")),
        levels=frozenset(asked.getlist("level")),
        problem=problem,
    )
    return form, log.View(query=query, marks_only=not only)


def _at(request: WebRequest, line: int) -> str:
    """This page around another line."""
    kept = [(name, value) for name, value in request.query_params.multi_items() if name not in {"line", "stop", "said"}]
    return f"{request.url.path}?{urlencode([*kept, ('line', line)])}"
