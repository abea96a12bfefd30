"""GET /alerts, POST /alerts/{alert}/acknowledge|resolve."""

from __future__ import annotations

import time

from starlette.responses import JSONResponse, Response

from app.domain.alerts import AlertStatus
from app.store import alerts, audit, runs, stops
from app.store.database import Database
from app.supervision.doorbell import Doorbell
from app.web.access import Visitor
from app.web.answers import frame_of, page, redirect, wants_json
from app.web.asked import form_of, path_id
from app.web.contexts.house import AlertsPage
from app.web.cross_site import local_path
from app.web.parts import UnexplainedView
from app.web.state import WebRequest
from app.web.text import visible
from app.web.views.alerts import alert_view

MOST = 500
MOST_UNEXPLAINED = 50
_UNSETTLED = frozenset({AlertStatus.OPEN, AlertStatus.ACKNOWLEDGED})


async def index(request: WebRequest, visitor: Visitor) -> Response:
    """The worst open ones first; ?all=1 shows resolved ones too."""
    db = request.state["db"]
    everything = request.query_params.get("all") == "1"
    found = await alerts.select(db, statuses=None if everything else _UNSETTLED, limit=MOST)
    tasks = {run: (await runs.get(db, run)).task_id for run in {alert.run for alert in found} if run is not None}
    context = AlertsPage(
        frame=await frame_of(request, visitor, title="Alerts", section="alerts"),
        alerts=tuple(alert_view(alert, task_id=tasks.get(alert.run or 0, "")) for alert in found),
        all=everything,
        older=None,
        unexplained=await _unexplained(db),
    )
    return page(request, context)


async def _unexplained(db: Database) -> tuple[UnexplainedView, ...]:
    found = await stops.without_reason(db, limit=MOST_UNEXPLAINED)
    tasks = {run: (await runs.get(db, run)).task_id for run in {receipt.run for receipt, _ in found}}
    return tuple(
        UnexplainedView(
            receipt=each.id,
            run=each.run,
            runs=many,
            task_id=tasks[each.run],
            actor=visible(each.reason.actor),
            at=each.received_at,
        )
        for each, many in found
    )


async def acknowledge(request: WebRequest, visitor: Visitor) -> Response:
    return await _set(request, visitor, AlertStatus.ACKNOWLEDGED)


async def resolve(request: WebRequest, visitor: Visitor) -> Response:
    return await _set(request, visitor, AlertStatus.RESOLVED)


async def _set(request: WebRequest, visitor: Visitor, status: AlertStatus) -> Response:
    db, now = request.state["db"], time.time()
    alert = await alerts.set_status(db, path_id(request, "alert"), status, actor=visitor.name, at=now)
    await audit.append(db, at=now, actor=visitor.name, action=f"alert.{status.value}", subject=f"alert {alert.id}")
    request.state["supervisor"].doorbell.ring(Doorbell.HOUSE if alert.run is None else alert.run)
    if wants_json(request):
        return JSONResponse({"alert": alert.id, "status": alert.status.value})
    after = (await form_of(request)).get("next")
    return redirect((local_path(after) if isinstance(after, str) else None) or "/alerts")
