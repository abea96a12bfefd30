"""GET /runs and what belongs to one run: events, output, the live stream."""

from __future__ import annotations

import dataclasses

from starlette.responses import JSONResponse, Response, StreamingResponse

from app.domain.errors import Refused
from app.domain.runs import RunState
from app.store import events as store_events
from app.store import evidence as store_evidence
from app.store import export, runs, stops, usage
from app.store.reading import line_at
from app.web.access import Visitor
from app.web.api.shapes import event_json, run_json, run_whole_json
from app.web.asked import path_id, query_moment, query_number
from app.web.live.stream import Topics
from app.web.output_query import query_of
from app.web.pages.downloads import as_json_lines
from app.web.pages.streams import cursor_of, respond
from app.web.state import WebRequest


async def index(request: WebRequest, _visitor: Visitor) -> Response:
    query = request.query_params
    found = await runs.select(
        request.state["db"],
        states=_states(query.getlist("state")) or None,
        evaluation=query_number(request, "evaluation", 0) or None,
        before=query_number(request, "before", 0) or None,
        limit=query_number(request, "limit", 100, low=1, high=1000),
    )
    return JSONResponse({"runs": [run_json(run) for run in found]})


def _states(names: list[str]) -> frozenset[RunState]:
    known = {state.value for state in RunState}
    for name in names:
        if name not in known:
            raise Refused(f"there is no state {name[:40]!r}", where="state", todo=f"Use {', '.join(RunState)}.")
    return frozenset(RunState(name) for name in names)


async def get(request: WebRequest, _visitor: Visitor) -> Response:
    db, run_id = request.state["db"], path_id(request, "run")
    run = await runs.get(db, run_id)
    return JSONResponse(run_whole_json(run, await usage.peak(db, run_id), await stops.of_run(db, run_id)))


async def evidence(request: WebRequest, _visitor: Visitor) -> Response:
    """What was sealed of its stops. `data` is text exactly as its SHA-256 was taken."""
    db, run_id = request.state["db"], path_id(request, "run")
    await runs.get(db, run_id)
    sealed = await store_evidence.of_run(db, run_id)
    return JSONResponse({"evidence": [dataclasses.asdict(one) for one in sealed]})


async def events(request: WebRequest, _visitor: Visitor) -> Response:
    db, run_id = request.state["db"], path_id(request, "run")
    await runs.get(db, run_id)
    after = query_number(request, "after", 0)
    limit = query_number(request, "limit", 1000, low=1, high=10_000)
    found = await store_events.read(db, run_id, after=after, limit=limit)
    return JSONResponse({"events": [event_json(one) for one in found]})


async def output(request: WebRequest, _visitor: Visitor) -> Response:
    """JSON lines: one object for each line printed that is wanted, up to what is stored now."""
    db, run_id = request.state["db"], path_id(request, "run")
    run = await runs.get(db, run_id)
    after = query_number(request, "after", 0)
    if "since" in request.query_params:
        after = max(after, await line_at(db, run_id, query_moment(request, "since")) - 1)
    last = min(run.lines, after + (query_number(request, "limit", 0) or run.lines))
    lines = export.rendered(db, run_id, as_json_lines, query_of(request), after=after, before=last + 1)
    return StreamingResponse(lines, media_type="application/x-ndjson")


async def stream(request: WebRequest, visitor: Visitor) -> Response:
    """The run page's stream, for programs."""
    feeds, run_id = request.state["feeds"], path_id(request, "run")
    feeds.require_room()
    await runs.get(request.state["db"], run_id)
    return respond(request, visitor, Topics(runs={run_id: cursor_of(request)}))
