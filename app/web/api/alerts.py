"""GET /alerts."""

from __future__ import annotations

from starlette.responses import JSONResponse, Response

from app.domain.alerts import AlertStatus
from app.domain.errors import Refused
from app.store import alerts
from app.web.access import Visitor
from app.web.api.shapes import alert_json
from app.web.asked import query_number
from app.web.state import WebRequest


async def index(request: WebRequest, _visitor: Visitor) -> Response:
    """?run= and ?status= narrow it."""
    found = await alerts.select(
        request.state["db"],
        run=query_number(request, "run", 0) or None,
        statuses=_statuses(request.query_params.getlist("status")) or None,
        before=query_number(request, "before", 0) or None,
        limit=query_number(request, "limit", 200, low=1, high=1000),
    )
    return JSONResponse({"alerts": [alert_json(alert) for alert in found]})


def _statuses(names: list[str]) -> frozenset[AlertStatus]:
    for name in names:
        if name not in {status.value for status in AlertStatus}:
            raise Refused(f"there is no status {name[:40]!r}", where="status", todo=f"Use {', '.join(AlertStatus)}.")
    return frozenset(AlertStatus(name) for name in names)
