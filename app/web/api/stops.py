"""POST /runs/{run}/stop|freeze|thaw|again, /evaluations/{evaluation}/stop, /stop-all, /release."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import JSONResponse, Response

from app.domain.errors import Refused
from app.domain.stops import StopKind, StopReason, StopSource
from app.web.access import Visitor
from app.web.api.shapes import receipt_json, run_json
from app.web.asked import json_flag, json_of, json_text, path_id, require_known
from app.web.state import WebRequest

_STOP = frozenset({"kind", "text", "wait"})
_STOP_ALL = frozenset({"text", "wait"})
_TEXT = frozenset({"text"})


async def stop(request: WebRequest, visitor: Visitor) -> Response:
    """Answers when the kill is under way; with `wait` when death is proven."""
    run, data = path_id(request, "run"), await json_of(request)
    require_known(data, _STOP)
    receipt = await request.state["supervisor"].stop(
        run, kind=_kind(data), reason=_reason(visitor, json_text(data, "text")), wait=json_flag(data, "wait")
    )
    return JSONResponse({"receipt": receipt_json(receipt)})


async def stop_evaluation(request: WebRequest, visitor: Visitor) -> Response:
    """Every run of it: kills those at work, cancels those that wait."""
    evaluation, data = path_id(request, "evaluation"), await json_of(request)
    require_known(data, _STOP)
    receipts = await request.state["supervisor"].stop_evaluation(
        evaluation, kind=_kind(data), reason=_reason(visitor, json_text(data, "text")), wait=json_flag(data, "wait")
    )
    return JSONResponse({"receipts": [receipt_json(receipt) for receipt in receipts]})


async def stop_all(request: WebRequest, visitor: Visitor) -> Response:
    data = await json_of(request)
    require_known(data, _STOP_ALL)
    receipts = await request.state["supervisor"].stop_all(
        reason=_reason(visitor, json_text(data, "text")), wait=json_flag(data, "wait")
    )
    return JSONResponse({"receipts": [receipt_json(receipt) for receipt in receipts]})


async def release(request: WebRequest, visitor: Visitor) -> Response:
    data = await json_of(request)
    require_known(data, _TEXT)
    text = json_text(data, "text")
    if not text:
        raise Refused("a reason is needed to let the queue go on", where="text", todo="Say why it is safe now.")
    return JSONResponse({"released": await request.state["supervisor"].release(actor=visitor.name, text=text)})


async def freeze(request: WebRequest, visitor: Visitor) -> Response:
    run, data = path_id(request, "run"), await json_of(request)
    require_known(data, _TEXT)
    await request.state["supervisor"].freeze(run, actor=visitor.name, text=json_text(data, "text"))
    return JSONResponse({"run": run, "frozen": True})


async def thaw(request: WebRequest, visitor: Visitor) -> Response:
    run = path_id(request, "run")
    await request.state["supervisor"].thaw(run, actor=visitor.name)
    return JSONResponse({"run": run, "frozen": False})


async def again(request: WebRequest, visitor: Visitor) -> Response:
    run = await request.state["supervisor"].again(path_id(request, "run"), actor=visitor.name)
    return JSONResponse({"run": run_json(run)}, 201)


def _kind(data: Mapping[str, object]) -> StopKind:
    kind = json_text(data, "kind") or StopKind.STOP.value
    if kind not in {one.value for one in StopKind}:
        raise Refused(f"there is no kind {kind[:40]!r}", where="kind", todo=f"Use {' or '.join(StopKind)}.")
    return StopKind(kind)


def _reason(visitor: Visitor, text: str) -> StopReason:
    return StopReason(source=StopSource.OPERATOR, actor=visitor.name, text=text, path="api")
