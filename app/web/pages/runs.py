"""GET /runs/{run}: the run page."""

from __future__ import annotations

import time
from urllib.parse import urlencode

from starlette.responses import Response

from app.domain.errors import Refused
from app.store import runs, usage
from app.web.access import Visitor
from app.web.answers import frame_of, page, problem_of
from app.web.asked import path_id, query_number
from app.web.contexts import OutputPane, RunPage, SearchForm
from app.web.live.frames import Cursor
from app.web.output_query import LEVELS, query_of
from app.web.state import WebRequest
from app.web.views import log
from app.web.views.panel import alerts_of, panel_of
from app.web.views.usage import usage_row

#: Points of usage a page starts with: an hour, one a second.
POINTS = 3600


async def show(request: WebRequest, visitor: Visitor) -> Response:
    """The page shows the newest lines, or those around ?line=N; its stream goes on after them."""
    db, run_id = request.state["db"], path_id(request, "run")
    run = await runs.get(db, run_id)
    line = min(query_number(request, "line", 0), run.lines)
    form, view = asked_view(request)
    window = await (
        log.around(db, run_id, line=line, view=view) if line else log.newest(db, run_id, lines=run.lines, view=view)
    )
    points = await usage.last(db, run_id, POINTS)
    panel, event = await panel_of(db, run_id, now=time.time())
    at_end = window.last >= run.lines
    # A window in the middle is not followed by what comes live: the stream goes on where the run is.
    last = window.last if at_end else run.lines
    cursor = Cursor(event=event, line=last, usage=points[-1].seq if points else 0)
    pane = OutputPane(
        pane="",
        href="",
        run=panel.run,
        lines=window.lines,
        older=_at(request, max(1, window.first - log.WINDOW // 2)) if window.first > 1 else None,
        newer=None if at_end else _at(request, window.last + log.WINDOW // 2),
        first=window.first,
        last=window.last,
        total=last,
        at_end=at_end,
        search=form,
        levels=tuple(LEVELS),
    )
    context = RunPage(
        frame=await frame_of(request, visitor, title=f"Run {run_id} · {run.task_id}"),
        panel=panel,
        alerts=await alerts_of(db, run_id),
        output=pane,
        cursor=str(cursor),
        stream=f"/stream?run={run_id}&after={cursor}",
        usage=tuple(usage_row(point) for point in points),
        memory_limit=run.limits.memory_bytes,
        cpus=run.limits.cpus,
        stop_again=request.query_params.get("stop") == "asked" and run.live,
    )
    return page(request, context)


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
