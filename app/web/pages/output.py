"""A run's output for its page: windows of lines, searching all of it, and where in it what happened."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.responses import JSONResponse, Response, StreamingResponse

from app.domain.errors import CrucibleError
from app.store import runs
from app.store.database import Database
from app.store.query import Query
from app.store.reading import line_at
from app.store.ribbon import BUCKETS, MOST_BUCKETS, ribbon
from app.store.search import search
from app.web.access import Visitor
from app.web.answers import problem_of
from app.web.asked import path_id, query_moment, query_number, query_switch
from app.web.live.frames import json_bytes
from app.web.output_query import query_of
from app.web.state import WebRequest
from app.web.views import log


async def lines(request: WebRequest, _visitor: Visitor) -> Response:
    """Rows of a window: ?before=N, ?after=N, ?around=N, or the newest; of a query only those that are wanted.

    With ?mark=1 a query marks what it finds and leaves nothing out.
    """
    db, run_id = request.state["db"], path_id(request, "run")
    run = await runs.get(db, run_id)
    asked, query = request.query_params, query_of(request)
    limit = query_number(request, "limit", log.WINDOW, low=1, high=log.WINDOW)
    view = log.View(query=query, marks_only=query_switch(request, "mark"))
    if "around" in asked:
        around = query_number(request, "around", 1, low=1)
        window = await log.around(db, run_id, line=min(around, run.lines or 1), view=view)
    elif "after" in asked:
        window = await log.after(db, run_id, line=query_number(request, "after", 0), limit=limit, view=view)
    else:
        before = query_number(request, "before", run.lines + 1, low=1)
        window = await log.before(db, run_id, line=min(before, run.lines + 1), limit=limit, view=view)
    return JSONResponse(
        {
            "run": run_id,
            "lines": [log.row_of(line) for line in window.lines],
            "first": window.first,
            "last": window.last,
            "more": window.first > 1,
            "total": run.lines,
        }
    )


async def find(request: WebRequest, _visitor: Visitor) -> Response:
    """JSON lines, one for each part of the output that was searched; the last is `done`. ?after=N goes on there."""
    db, run_id = request.state["db"], path_id(request, "run")
    await runs.get(db, run_id)
    query = query_of(request) or Query()
    after = query_number(request, "after", 0)
    return StreamingResponse(_parts(db, run_id, query, after), media_type="application/x-ndjson")


async def _parts(db: Database, run: int, query: Query, after: int) -> AsyncIterator[bytes]:
    try:
        async for part in search(db, run, query, after=after):
            said = {
                "hits": part.hits,
                "found": part.found,
                "matches": part.matches,
                "scanned": part.scanned_to,
                "lost": part.lost,
                "total": part.total,
                "done": part.done,
            }
            yield json_bytes(said) + b"\n"
    except CrucibleError as error:
        # The answer has begun: what went wrong is its last line.
        problem = problem_of(error)
        yield json_bytes({"error": {"what": problem.what, "where": problem.where, "todo": problem.todo}}) + b"\n"


async def outline(request: WebRequest, _visitor: Visitor) -> Response:
    """?buckets=200: the whole output in pieces: [first, last, first_at, last_at, {level: lines}]."""
    db, run_id = request.state["db"], path_id(request, "run")
    buckets = query_number(request, "buckets", BUCKETS, low=1, high=MOST_BUCKETS)
    found = await ribbon(db, run_id, buckets=buckets)
    pieces = [
        [
            each.first,
            each.last,
            each.first_at,
            each.last_at,
            {level.name.lower(): n for level, n in each.levels.items()},
        ]
        for each in found
    ]
    return JSONResponse({"run": run_id, "pieces": pieces})


async def moment(request: WebRequest, _visitor: Visitor) -> Response:
    """?at=<unix seconds>: the first line printed then or later."""
    db, run_id = request.state["db"], path_id(request, "run")
    run = await runs.get(db, run_id)
    line = await line_at(db, run_id, query_moment(request, "at"))
    return JSONResponse({"run": run_id, "line": min(line, run.lines), "total": run.lines})
