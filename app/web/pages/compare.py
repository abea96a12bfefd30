"""GET /compare: two runs beside each other, each with its own output, state, charts and STOP."""

from __future__ import annotations

import time
from collections.abc import Sequence
from urllib.parse import urlencode

from starlette.responses import Response

from app.domain.errors import Refused
from app.domain.runs import Run
from app.store import runs
from app.store.database import Database
from app.web.access import Visitor
from app.web.answers import frame_of, page, problem_of
from app.web.asked import number_of
from app.web.contexts.run import ComparePage, Side
from app.web.state import WebRequest
from app.web.views.beside import PANES, side_of
from app.web.views.runs import run_view

#: Runs that one chooses from, the newest.
OFFERED = 60


async def compare(request: WebRequest, visitor: Visitor) -> Response:
    """?run=1&run=2; with fewer, or with what cannot be shown that way, it asks which."""
    db, now = request.state["db"], time.time()
    chosen, problem = [], None
    try:
        chosen = [number_of(text, "run", low=1) for text in request.query_params.getlist("run") if text]
        _require_two(chosen)
    except Refused as error:
        problem = problem_of(error)
    found = [await runs.get(db, run) for run in chosen[:2]]
    both = len(found) == len(PANES) and problem is None
    title = f"Runs {chosen[0]} and {chosen[1]}" if both else "Two runs beside each other"
    frame = await frame_of(request, visitor, title=title)
    watching = request.state["feeds"].presence.of
    sides: list[Side] = []
    if both:
        sides = [
            await side_of(db, run, watchers=watching(run.id), pane=pane, nonce=frame.nonce, now=now)
            for run, pane in zip(found, PANES, strict=True)
        ]
    context = ComparePage(
        frame=frame,
        sides=tuple(sides),
        chosen=tuple(chosen[:2]),
        runs=() if both else tuple(run_view(run, now=now) for run in await _offered(db, found)),
        problem=problem,
        stream=_stream(sides),
    )
    return page(request, context)


def _require_two(chosen: Sequence[int]) -> None:
    if len(chosen) > len(PANES) or len(set(chosen)) < len(chosen):
        raise Refused(
            f"{len(chosen)} runs were chosen: {', '.join(map(str, chosen[:9]))}",
            where="run",
            todo="Choose two different ones.",
        )


async def _offered(db: Database, found: Sequence[Run]) -> list[Run]:
    """The chosen ones, then those of the same task, then the newest."""
    chosen = {run.id for run in found}
    tasks = {run.task_id for run in found}
    newest = [run for run in await runs.select(db, limit=OFFERED) if run.id not in chosen]
    return [*found, *sorted(newest, key=lambda run: run.task_id not in tasks)]


def _stream(sides: Sequence[Side]) -> str:
    """Both runs in the one stream."""
    asked = [pair for side in sides for pair in (("run", side.run.id), ("after", side.cursor))]
    return f"/stream?{urlencode(asked)}" if asked else ""
