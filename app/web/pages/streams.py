"""GET /stream: one endless answer per page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import anyio
from sse_starlette.sse import EventSourceResponse
from starlette.responses import Response

from app.domain.errors import Refused
from app.store import runs
from app.supervision.doorbell import Doorbell
from app.web.access import Visitor, still_known
from app.web.asked import query_number
from app.web.live.frames import Cursor, parse_cursor
from app.web.live.stream import Listener, house_frames, run_frames, wall_frames
from app.web.state import WebRequest

#: Seconds a reader may take for one frame before it is dropped: without it a stuck one stays for ever.
SEND_SECONDS = 10.0
#: Seconds for the last frame at a shutdown; the server waits for streams a little longer.
FAREWELL_SECONDS = 1.0


async def stream(request: WebRequest, visitor: Visitor) -> Response:
    """?run=42 with `after` or Last-Event-ID, ?wall=1, or ?house=1 for the header alone."""
    feeds = request.state["feeds"]
    feeds.require_room()
    run = query_number(request, "run", 0)
    if run:
        await runs.get(request.state["db"], run)
        cursor = cursor_of(request)
        return respond(request, visitor, run, lambda listener: run_frames(feeds, run, cursor, listener))
    if request.query_params.get("house") == "1":
        return respond(request, visitor, Doorbell.HOUSE, lambda listener: house_frames(feeds, listener))
    if request.query_params.get("wall") != "1":
        raise Refused(
            "neither run, wall nor house is given", where="query", todo="Ask for ?run=42, ?wall=1 or ?house=1."
        )
    return respond(request, visitor, Doorbell.HOUSE, lambda listener: wall_frames(feeds, listener))


def cursor_of(request: WebRequest) -> Cursor:
    """Last-Event-ID wins: a browser that comes back sends the address of its first visit with it."""
    return parse_cursor(request.headers.get("last-event-id") or request.query_params.get("after", ""))


def respond(
    request: WebRequest, visitor: Visitor, run: int, frames: Callable[[Listener], AsyncIterator[bytes]]
) -> Response:
    """The endless answer. Frames go out as they are; heartbeats are among them, so no pings are added."""
    state = request.state
    db, doorbell, leaving = state["db"], state["feeds"].doorbell, anyio.Event()

    async def may_read() -> bool:
        return await still_known(db, visitor)

    async def wake_to_leave() -> None:
        await leaving.wait()
        doorbell.ring(run)

    listener = Listener(
        server=f"{state['started_at']:.3f}", version=state["version"], may_read=may_read, leaving=leaving
    )
    return EventSourceResponse(
        frames(listener),
        sep="\n",
        ping=0,
        send_timeout=SEND_SECONDS,
        data_sender_callable=wake_to_leave,
        shutdown_event=leaving,
        shutdown_grace_period=FAREWELL_SECONDS,
    )
