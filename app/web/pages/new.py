"""GET /new, POST /evaluations: asking for runs."""

from __future__ import annotations

import asyncio
import dataclasses

from starlette.responses import Response

from app.domain.errors import Refused
from app.domain.limits import RunLimits
from app.domain.runs import Policy
from app.task_standard import suites
from app.web.access import Visitor
from app.web.answers import frame_of, page, problem_of, redirect, status_of
from app.web.asked import form_of
from app.web.contexts.evaluations import NewForm, NewPage
from app.web.evaluation_request import command_of, read_form, request_of_form
from app.web.filters import bytes_text, duration_text
from app.web.parts import AgentView, LimitField, Problem, SuiteTaskView, SuiteView
from app.web.state import WebRequest
from app.web.views.runtimes import runtime_options

_LABELS = {
    "wall_seconds": ("Wall time", "Seconds, or 90s, 10m, 2h."),
    "cpu_seconds": ("CPU time", "Seconds, or 90s, 10m, 2h."),
    "memory_bytes": ("Memory", "Bytes, or 512m, 2g. The disk lies in it."),
    "cpus": ("CPUs", "Cores; 0.5 is half of one."),
    "pids": ("Processes", "Processes and threads at once."),
    "disk_bytes": ("Disk", "Bytes, or 128m. The agent's home; 2 s full end it."),
    "output_bytes": ("Output", "Bytes, or 64m. What it may print."),
    "idle_seconds": ("Idle time", "Seconds, or 5m. No output and no CPU time; 0: never."),
    "unattended_seconds": ("Unattended", "Seconds, or 5m. It waits for a person at its page that often; 0: never."),
}


async def form(request: WebRequest, visitor: Visitor) -> Response:
    query = request.query_params
    wanted = NewForm(suite=query.get("suite", ""), tasks=tuple(query.getlist("task")), agent=query.get("agent", ""))
    return await _page(request, visitor, wanted, None, 200)


async def submit(request: WebRequest, visitor: Visitor) -> Response:
    """Queue it, or show the form again with what is wrong."""
    written = read_form(await form_of(request))
    try:
        wanted = request_of_form(written)
        evaluation = await request.state["supervisor"].submit(wanted, actor=visitor.name)
    except Refused as error:
        return await _page(request, visitor, written, problem_of(error), status_of(error))
    return redirect(f"/evaluations/{evaluation.id}")


async def _page(
    request: WebRequest, visitor: Visitor, written: NewForm, problem: Problem | None, status: int
) -> Response:
    folders = request.state["settings"].suite_folders
    known = await asyncio.to_thread(suites.list_suites, folders)
    if problem is None:  # A suite that cannot be read is not silently left out.
        unreadable = await asyncio.to_thread(suites.unreadable_suites, folders)
        problem = problem_of(unreadable[0]) if unreadable else None
    agents = await asyncio.to_thread(suites.list_agents, folders)
    if not written.suite and known:
        names = [suite.name for suite in known]
        written = dataclasses.replace(written, suite="demo" if "demo" in names else names[0])
    context = NewPage(
        frame=await frame_of(request, visitor, title="New run", section="new"),
        suites=tuple(_suite(suite) for suite in known),
        agents=tuple(AgentView(name=agent.name, title=agent.title) for agent in agents),
        policies=tuple(Policy),
        runtimes=runtime_options(request.state["supervisor"].runtimes),
        limits=tuple(_limit(name, default) for name, default in dataclasses.asdict(RunLimits()).items()),
        form=written,
        problem=problem,
        command=command_of(written),
    )
    return page(request, context, status=status)


def _suite(suite: suites.Suite) -> SuiteView:
    tasks = tuple(
        SuiteTaskView(
            id=task.id,
            agent=task.agent,
            limits=", ".join(f"{_LABELS[name][0].lower()} {value}" for name, value in task.limits.items()),
            policy=task.policy.value,
        )
        for task in suite.tasks
    )
    return SuiteView(name=suite.name, title=suite.title, description=suite.description, tasks=tasks)


def _limit(name: str, default: float) -> LimitField:
    label, hint = _LABELS[name]
    if name.endswith("_bytes"):
        text = bytes_text(default)
    else:
        text = _time(default) if name.endswith("_seconds") else f"{default:g}"
    return LimitField(name=name, label=label, default=text, hint=hint)


def _time(seconds: float) -> str:
    return duration_text(seconds) if seconds else "never"
