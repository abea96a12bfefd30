"""GET|POST /evaluations, GET /evaluations/{evaluation}."""

from __future__ import annotations

from starlette.responses import JSONResponse, Response

from app.store import runs
from app.web.access import Visitor
from app.web.api.shapes import evaluation_json, run_json
from app.web.asked import json_of, path_id, query_number
from app.web.evaluation_request import request_of_json
from app.web.state import WebRequest

MOST_RUNS = 2000


async def index(request: WebRequest, _visitor: Visitor) -> Response:
    before = query_number(request, "before", 0) or None
    limit = query_number(request, "limit", 50, low=1, high=500)
    found = await runs.evaluations(request.state["db"], before=before, limit=limit)
    return JSONResponse({"evaluations": [evaluation_json(one) for one in found]})


async def submit(request: WebRequest, visitor: Visitor) -> Response:
    wanted = request_of_json(await json_of(request))
    evaluation = await request.state["supervisor"].submit(wanted, actor=visitor.name)
    return JSONResponse(await _whole(request, evaluation.id), 201)


async def get(request: WebRequest, _visitor: Visitor) -> Response:
    return JSONResponse(await _whole(request, path_id(request, "evaluation")))


async def _whole(request: WebRequest, evaluation: int) -> dict[str, object]:
    db = request.state["db"]
    head = evaluation_json(await runs.evaluation(db, evaluation))
    found = await runs.select(db, evaluation=evaluation, limit=MOST_RUNS, oldest_first=True)
    return {"evaluation": head, "runs": [run_json(run) for run in found]}
