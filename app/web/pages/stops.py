"""Stopping, freezing, going on. A stop does nothing before it calls the supervisor."""

from __future__ import annotations

import time

from starlette.responses import HTMLResponse, JSONResponse, Response

from app.domain.drills import SUITE as DRILL
from app.domain.errors import NotFound, Refused
from app.domain.runs import EvaluationRequest
from app.domain.stops import StopKind, StopReason, StopSource
from app.store import runs
from app.store import stops as store_stops
from app.web.access import Visitor
from app.web.answers import frame_of, page, redirect, wants_fragment, wants_json
from app.web.api.shapes import receipt_json
from app.web.asked import form_of, path_id, text_field
from app.web.contexts.frame import ConfirmPage
from app.web.cross_site import local_path
from app.web.state import WebRequest
from app.web.views.panel import panel_of


async def stop(request: WebRequest, visitor: Visitor) -> Response:
    run, form = path_id(request, "run"), await form_of(request)
    kind = StopKind.EMERGENCY if form.get("kind") == StopKind.EMERGENCY.value else StopKind.STOP
    receipt = await request.state["supervisor"].stop(run, kind=kind, reason=_reason(visitor, form.get("text")))
    if wants_json(request):
        return JSONResponse(receipt_json(receipt))
    return await _back(request, run, "stop", form.get("next"))


async def stop_evaluation(request: WebRequest, visitor: Visitor) -> Response:
    """Every run of it, at work or waiting."""
    evaluation, form = path_id(request, "evaluation"), await form_of(request)
    kind = StopKind.EMERGENCY if form.get("kind") == StopKind.EMERGENCY.value else StopKind.STOP
    receipts = await request.state["supervisor"].stop_evaluation(
        evaluation, kind=kind, reason=_reason(visitor, form.get("text"))
    )
    if wants_json(request):
        return JSONResponse({"receipts": [receipt_json(receipt) for receipt in receipts]})
    return redirect(f"/evaluations/{evaluation}?said=stop-evaluation")


async def stop_all(request: WebRequest, visitor: Visitor) -> Response:
    """Without a script the button alone could be pressed by a slip: `confirm=yes` has to be there."""
    form = await form_of(request)
    if form.get("confirm") != "yes":
        return await _ask(request, visitor)
    receipts = await request.state["supervisor"].stop_all(reason=_reason(visitor, form.get("text")))
    if wants_json(request):
        return JSONResponse({"receipts": [receipt_json(receipt) for receipt in receipts]})
    return redirect(_said(local_path(str(form.get("next", ""))) or "/", "stop-all"))


async def _ask(request: WebRequest, visitor: Visitor) -> Response:
    if wants_json(request):
        raise Refused("is missing", where="confirm", todo="Send confirm=yes to stop everything.")
    frame = await frame_of(request, visitor, title="Stop everything?")
    counts = frame.strip.counts if frame.strip else {}
    queued = counts.get("queued", 0)
    return page(request, ConfirmPage(frame=frame, live=sum(counts.values()) - queued, queued=queued))


async def release(request: WebRequest, visitor: Visitor) -> Response:
    text = text_field(await form_of(request), "text")
    if not text:
        raise Refused("a reason is needed to let the queue go on", where="text", todo="Say why it is safe now.")
    released = await request.state["supervisor"].release(actor=visitor.name, text=text)
    if wants_json(request):
        return JSONResponse({"released": released})
    return redirect(_said("/", "released" if released else "not-held"))


async def freeze(request: WebRequest, visitor: Visitor) -> Response:
    run, form = path_id(request, "run"), await form_of(request)
    await request.state["supervisor"].freeze(run, actor=visitor.name, text=text_field(form, "text"))
    return await _back(request, run, "frozen", form.get("next"))


async def thaw(request: WebRequest, visitor: Visitor) -> Response:
    run, form = path_id(request, "run"), await form_of(request)
    await request.state["supervisor"].thaw(run, actor=visitor.name)
    return await _back(request, run, "thawed", form.get("next"))


async def drill(request: WebRequest, visitor: Visitor) -> Response:
    """Start a harmless run for somebody to stop; its page is where that is done."""
    evaluation = await request.state["supervisor"].submit(EvaluationRequest(suite=DRILL), actor=visitor.name)
    (run,) = await runs.select(request.state["db"], evaluation=evaluation.id)
    return redirect(f"/runs/{run.id}?said=drill")


async def attend(request: WebRequest, visitor: Visitor) -> Response:
    """Somebody is there: pressed, or moved on the run's page."""
    run, form = path_id(request, "run"), await form_of(request)
    await request.state["supervisor"].attend(run, actor=visitor.name)
    return await _back(request, run, "attended", form.get("next"))


async def again(request: WebRequest, visitor: Visitor) -> Response:
    new = await request.state["supervisor"].again(path_id(request, "run"), actor=visitor.name)
    return redirect(f"/runs/{new.id}")


async def reason(request: WebRequest, visitor: Visitor) -> Response:
    """Why it was stopped, said afterwards, for all runs of that press."""
    db, run, form = request.state["db"], path_id(request, "run"), await form_of(request)
    wanted = text_field(form, "receipt", limit=20)
    receipt = next((one for one in await store_stops.of_run(db, run) if str(one.id) == wanted), None)
    if receipt is None:
        raise NotFound(f"run {run} has no receipt {wanted!r}", where="receipt")
    text = text_field(form, "text")
    if not text:
        raise Refused("is empty", where="text", todo="Say in a few words why it was stopped.")
    for explained in await store_stops.set_text(db, receipt.id, text, actor=visitor.name, at=time.time()):
        request.state["supervisor"].doorbell.ring(explained)
    return await _back(request, run, "reason", form.get("next"))


def _reason(visitor: Visitor, text: object) -> StopReason:
    """A reason that is too long is cut: nothing may hold up a stop."""
    said = text.strip()[:2000] if isinstance(text, str) else ""
    return StopReason(source=StopSource.OPERATOR, actor=visitor.name, text=said, path="web")


async def _back(request: WebRequest, run: int, said: str, after: object) -> Response:
    """The page again, its panel, or a word for a program."""
    if wants_json(request):
        return JSONResponse({"run": run, "said": said})
    if wants_fragment(request):
        commands = request.state["stop_commands"].of_run(run)
        panel, _ = await panel_of(request.state["db"], run, now=time.time(), commands=commands)
        return HTMLResponse(request.state["pages"].render(panel))
    return redirect(
        _said(local_path(after) or "" if isinstance(after, str) else "", said) or f"/runs/{run}?said={said}"
    )


def _said(path: str, said: str) -> str:
    if not path:
        return ""
    return f"{path}{'&' if '?' in path else '?'}said={said}"
