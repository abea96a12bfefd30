"""Moments of a run: what its page showed then, and its use of resources in a stretch of time."""

from __future__ import annotations

import time

from starlette.responses import JSONResponse, Response

from app.store import runs, usage
from app.web.access import Visitor
from app.web.asked import path_id, query_moment, query_number
from app.web.state import WebRequest
from app.web.views.charts import POINTS, drawn
from app.web.views.past import as_it_was


async def past(request: WebRequest, _visitor: Visitor) -> Response:
    """?at=<unix seconds>: the last line, the status and the alerts as they were; before the run: as it was queued."""
    db, run_id = request.state["db"], path_id(request, "run")
    run = await runs.get(db, run_id)
    at = min(max(query_moment(request, "at"), run.created_at), time.time())
    was = await as_it_was(db, run, at)
    pages = request.state["pages"]
    return JSONResponse(
        {
            "run": run_id,
            "at": at,
            "line": was.past.line,
            "total": run.lines,
            "panel": pages.render(was.panel),
            "alerts": pages.render(was.alerts),
        }
    )


async def points(request: WebRequest, _visitor: Visitor) -> Response:
    """?since=&until=&points=: rows as in the frame `usage`, folded if they are more than `points`.

    `seconds` is what the longest of them stands for.
    """
    db, run_id = request.state["db"], path_id(request, "run")
    await runs.get(db, run_id)
    asked = request.query_params
    rows, seconds = await drawn(
        db,
        run_id,
        since=query_moment(request, "since") if "since" in asked else None,
        until=query_moment(request, "until") if "until" in asked else None,
        points=query_number(request, "points", POINTS, low=1, high=usage.MOST_POINTS),
    )
    return JSONResponse({"run": run_id, "points": rows, "seconds": seconds})
