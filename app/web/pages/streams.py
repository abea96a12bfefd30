"""GET /stream: one endless answer per browser. POST /stream/seen: which runs its visible pages show from now on."""

from __future__ import annotations

from starlette.responses import Response

from app.domain.errors import NotFound, Refused
from app.store import runs
from app.store.database import Database
from app.web.access import Visitor, still_known
from app.web.asked import form_of, number_of, text_field
from app.web.live.event_stream import EventStream
from app.web.live.frames import Cursor, parse_cursor
from app.web.live.readers import WallTopic
from app.web.live.stream import Listener, Topics, frames
from app.web.live.wire import Wire
from app.web.state import WebRequest
from app.web.wall_query import WallQuery, parse_wall
from app.web.words import shows_words

#: Seconds a reader may take for one frame before it is dropped: without it a stuck one stays for ever.
SEND_SECONDS = 10.0
#: Runs of one stream.
MOST_RUNS = 100
#: Different walls of one stream.
MOST_WALLS = 20
#: The wall without any filter.
EVERYTHING = "1"


async def stream(request: WebRequest, visitor: Visitor) -> Response:
    """?run=42 with `after` or Last-Event-ID, ?wall=1, or ?house=1 for the header alone.

    A browser asks once for all its pages: several `run`, each with its own `after`, and `wall` beside them: "1" for
    everything, or a query as in the address of the wall. `seen` names the runs that are before someone's eyes, with
    commas; without it all that are asked for.
    """
    feeds = request.state["feeds"]
    feeds.require_room()
    topics = await topics_of(request)
    return respond(request, visitor, topics)


async def topics_of(request: WebRequest) -> Topics:
    """What is asked for. One unknown run is `NotFound`; among other topics it is only missing."""
    query, db = request.query_params, request.state["db"]
    walls = walls_of(query.getlist("wall"))
    asked = [number_of(text, "run", low=1) for text in query.getlist("run")]
    if not asked and not walls and query.get("house") != "1":
        raise Refused(
            "neither run, wall nor house is given", where="query", todo="Ask for ?run=42, ?wall=1 or ?house=1."
        )
    if len(asked) == 1 and not walls:
        await runs.get(db, asked[0])
        return Topics(runs={asked[0]: cursor_of(request)})
    after = query.getlist("after") or [""] * len(asked)
    if len(asked) > MOST_RUNS or len(after) != len(asked) or len(set(asked)) != len(asked):
        raise Refused(
            f"{len(asked)} times run and {len(after)} times after",
            where="query",
            todo=f"Ask for at most {MOST_RUNS} different runs, each with its own after.",
        )
    there = {run for run in asked if await _is_there(db, run)}
    cursors = {run: parse_cursor(text) for run, text in zip(asked, after, strict=True)}
    return Topics(
        runs={run: cursor for run, cursor in cursors.items() if run in there},
        walls=walls,
        missing=tuple(run for run in asked if run not in there),
    )


def walls_of(asked: list[str]) -> tuple[WallTopic, ...]:
    if len(asked) > MOST_WALLS:
        raise Refused(f"{len(asked)} times wall", where="wall", todo=f"Ask for at most {MOST_WALLS}.")
    return tuple(
        WallTopic(key=key, query=WallQuery() if key == EVERYTHING else parse_wall(key)) for key in dict.fromkeys(asked)
    )


async def seen(request: WebRequest, visitor: Visitor) -> Response:
    """Fields: stream, the key its hello gave, and `run` for each that is seen. 404 when it is gone."""
    form = await form_of(request)
    shown = {number_of(str(run), "run", low=1) for run in form.getlist("run")}
    changed = request.state["feeds"].presence.see(text_field(form, "stream", limit=100), shown, session=visitor.secret)
    return Response(status_code=204 if changed else 404)


def _seen_at_first(request: WebRequest) -> frozenset[int] | None:
    text = request.query_params.get("seen")
    if text is None:
        return None
    return frozenset(number_of(each, "seen", low=1) for each in text.split(",") if each)


async def _is_there(db: Database, run: int) -> bool:
    try:
        await runs.get(db, run)
    except NotFound:
        return False
    return True


def cursor_of(request: WebRequest) -> Cursor:
    """Last-Event-ID wins: a browser that comes back sends the address of its first visit with it."""
    return parse_cursor(request.headers.get("last-event-id") or request.query_params.get("after", ""))


def respond(request: WebRequest, visitor: Visitor, topics: Topics) -> Response:
    """The endless answer."""
    state = request.state
    db, feeds = state["db"], state["feeds"]

    async def may_read() -> bool:
        return await feeds.permits.hold(visitor.secret, lambda: still_known(db, visitor))

    listener = Listener(
        server=f"{state['started_at']:.3f}",
        version=state["version"],
        name=visitor.name,
        session="" if visitor.by_token else visitor.secret,
        seen=_seen_at_first(request),
        words=shows_words(request),
        may_read=may_read,
        patience=SEND_SECONDS,
    )
    wire = Wire()
    return EventStream(frames(feeds, topics, listener, wire), wire)
