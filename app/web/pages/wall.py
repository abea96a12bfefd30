"""GET / : everything that runs, at a glance."""

from __future__ import annotations

import time

from starlette.responses import Response

from app.web.access import Visitor
from app.web.answers import frame_of, page
from app.web.contexts import WallPage
from app.web.state import WebRequest
from app.web.views.cards import cards_of, runs_on_the_wall
from app.web.views.strip import queue_of


async def wall(request: WebRequest, visitor: Visitor) -> Response:
    db, now = request.state["db"], time.time()
    cards = await cards_of(db, await runs_on_the_wall(db, now=now), now=now)
    queue = await queue_of(db, request.state["settings"], now=now)
    frame = await frame_of(request, visitor, title="Wall", section="wall")
    return page(request, WallPage(frame=frame, cards=tuple(cards), queue=queue, stream="/stream?wall=1"))
