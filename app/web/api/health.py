"""GET /health."""

from __future__ import annotations

import dataclasses

from starlette.responses import JSONResponse, Response

from app.web.access import Visitor
from app.web.state import WebRequest
from app.web.views.strip import strip_of


async def health(request: WebRequest, _visitor: Visitor) -> Response:
    """Engine, hold, counts: what the header of every page shows."""
    state = request.state
    strip = await strip_of(state["db"], state["supervisor"], state["settings"], state["stop_commands"])
    return JSONResponse(
        {
            "version": state["version"],
            "started_at": state["started_at"],
            "engine": dataclasses.asdict(strip.engine),
            "stop_path": dataclasses.asdict(strip.stop_path),
            "hold": dataclasses.asdict(strip.hold) if strip.hold else None,
            "counts": dict(strip.counts),
            "slots": strip.slots,
            "alerts_open": strip.alerts_open,
            "streams": state["feeds"].readers,
        }
    )
