"""GET /runs/{run}: the run page, older lines of it, and its whole output as a file."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

from starlette.responses import JSONResponse, Response, StreamingResponse

from app.store import output as store_output
from app.store import runs, usage
from app.store.database import Database
from app.web.access import Visitor
from app.web.answers import frame_of, page
from app.web.asked import path_id, query_number
from app.web.contexts import RunPage
from app.web.live.frames import Cursor
from app.web.state import WebRequest
from app.web.views import log
from app.web.views.panel import alerts_of, panel_of

#: Points of usage a page starts with: an hour, one a second.
POINTS = 3600
#: Lines read at once for the download; each may be 64 KiB.
_BATCH = 128


async def show(request: WebRequest, visitor: Visitor) -> Response:
    """The page shows the newest lines, or those around ?line=N; its stream goes on after them."""
    db, run_id = request.state["db"], path_id(request, "run")
    run = await runs.get(db, run_id)
    line = min(query_number(request, "line", 0), run.lines)
    window = await (log.around(db, run_id, line=line) if line else log.newest(db, run_id, lines=run.lines))
    points = await usage.last(db, run_id, POINTS)
    panel, event = await panel_of(db, run_id, now=time.time())
    at_end = window.last >= run.lines
    # A window in the middle is not followed by what comes live: the stream goes on where the run is.
    last = window.last if at_end else run.lines
    cursor = Cursor(event=event, line=last, usage=points[-1].seq if points else 0)
    context = RunPage(
        frame=await frame_of(request, visitor, title=f"Run {run_id} · {run.task_id}"),
        panel=panel,
        alerts=await alerts_of(db, run_id),
        lines=window.lines,
        older=_older(run_id, window),
        newer=None if at_end else f"/runs/{run_id}?line={window.last + log.WINDOW // 2}",
        older_data=f"/runs/{run_id}/lines",
        at_end=at_end,
        cursor=str(cursor),
        stream=f"/stream?run={run_id}&after={cursor}",
        output=f"/runs/{run_id}/output.txt",
        usage=tuple((p.seq, p.at, p.cpu_mean, p.cpu_max, p.memory_bytes, p.pids) for p in points),
        memory_limit=run.limits.memory_bytes,
        cpus=run.limits.cpus,
        stop_again=request.query_params.get("stop") == "asked" and run.live,
    )
    return page(request, context)


def _older(run: int, window: log.Window) -> str | None:
    return f"/runs/{run}?line={max(1, window.first - log.WINDOW // 2)}" if window.first > 1 else None


async def lines(request: WebRequest, _visitor: Visitor) -> Response:
    """?before=N&limit=500 : rows that end just before line N, for a page that scrolls up."""
    db, run_id = request.state["db"], path_id(request, "run")
    run = await runs.get(db, run_id)
    before = query_number(request, "before", run.lines + 1, low=1)
    limit = query_number(request, "limit", log.WINDOW, low=1, high=log.WINDOW)
    found = await log.lines_before(db, run_id, before=min(before, run.lines + 1), limit=limit)
    more = bool(found) and found[0].number > 1
    return JSONResponse({"run": run_id, "lines": [log.row(line) for line in found], "more": more})


async def output(request: WebRequest, _visitor: Visitor) -> Response:
    """The very bytes that were printed so far. A file to keep, never a page: its text is an adversary's."""
    db, run_id = request.state["db"], path_id(request, "run")
    run = await runs.get(db, run_id)
    return StreamingResponse(
        raw_output(db, run_id, run.lines),
        media_type="text/plain; charset=utf-8",
        headers={
            "content-disposition": f'attachment; filename="run-{run_id}-output.txt"',
            "content-security-policy": "sandbox; default-src 'none'",
        },
    )


async def raw_output(db: Database, run: int, lines: int) -> AsyncIterator[bytes]:
    """Every byte of the first `lines` lines, in order."""
    done = 0
    while done < lines:
        batch = await store_output.read(db, run, after=done, limit=min(_BATCH, lines - done))
        if not batch:
            return
        yield b"".join(line.data + (b"\n" if line.complete else b"") for line in batch)
        done = batch[-1].number
