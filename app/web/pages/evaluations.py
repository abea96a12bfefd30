"""GET /evaluations, GET /evaluations/{evaluation}: what was asked for, and what came of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

from starlette.responses import Response

from app.domain.runs import Run
from app.domain.scores import ScoreStatus
from app.store import alerts, runs, stops
from app.web.access import Visitor
from app.web.answers import frame_of, page
from app.web.asked import path_id, query_number
from app.web.contexts.evaluations import EvaluationPage, EvaluationsPage
from app.web.parts import TaskResult
from app.web.state import WebRequest
from app.web.text import visible
from app.web.views.runs import evaluation_view, receipt_view, run_view

PAGE = 50
MOST_RUNS = 2000


async def index(request: WebRequest, visitor: Visitor) -> Response:
    before = query_number(request, "before", 0) or None
    found = await runs.evaluations(request.state["db"], before=before, limit=PAGE)
    context = EvaluationsPage(
        frame=await frame_of(request, visitor, title="Evaluations", section="evaluations"),
        evaluations=tuple(evaluation_view(one) for one in found),
        older=f"/evaluations?before={found[-1].id}" if len(found) == PAGE else None,
    )
    return page(request, context)


async def results(request: WebRequest, visitor: Visitor) -> Response:
    db, wanted = request.state["db"], path_id(request, "evaluation")
    evaluation = await runs.evaluation(db, wanted)
    found = await runs.select(db, evaluation=wanted, limit=MOST_RUNS, oldest_first=True)
    open_alerts = await alerts.open_by_run(db, [run.id for run in found])
    scores = _scores(found)
    context = EvaluationPage(
        frame=await frame_of(request, visitor, title=f"Evaluation {wanted}", section="evaluations"),
        evaluation=evaluation_view(evaluation),
        results=_by_task(found, now=time.time()),
        outcomes=dict(Counter(run.outcome.value for run in found if run.outcome)),
        scored=len(scores),
        mean=_mean(scores),
        stops={
            run: receipt_view(receipt)
            for run, received in (await stops.of_runs(db, [run.id for run in found])).items()
            for receipt in received
            if receipt.changed
        },
        alerts={run: len(found_alerts) for run, found_alerts in open_alerts.items()},
    )
    return page(request, context)


def _by_task(found: Sequence[Run], *, now: float) -> tuple[TaskResult, ...]:
    """One row for each task and agent, in the order they were asked for."""
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in found:
        groups.setdefault((run.task_id, run.agent), []).append(run)
    return tuple(
        TaskResult(
            task_id=visible(task),
            agent=agent,
            runs=tuple(run_view(run, now=now) for run in members),
            scored=len(_scores(members)),
            mean=_mean(_scores(members)),
        )
        for (task, agent), members in groups.items()
    )


def _scores(found: Sequence[Run]) -> list[float]:
    """Numbers only: a run that was stopped or needs a person is never a low score."""
    return [
        run.score.value
        for run in found
        if run.score and run.score.status is ScoreStatus.SCORED and run.score.value is not None
    ]


def _mean(scores: Sequence[float]) -> float | None:
    return sum(scores) / len(scores) if scores else None
