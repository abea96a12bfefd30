"""GET /suites, /agents: what can be run."""

from __future__ import annotations

import asyncio

from starlette.responses import JSONResponse, Response

from app.task_standard import suites as task_suites
from app.web.access import Visitor
from app.web.state import WebRequest


async def suites(request: WebRequest, _visitor: Visitor) -> Response:
    known = await asyncio.to_thread(task_suites.list_suites, request.state["settings"].suite_folders)
    return JSONResponse({"suites": [_suite(suite) for suite in known]})


def _suite(suite: task_suites.Suite) -> dict[str, object]:
    tasks = [
        {
            "task": task.id,
            "agent": task.agent,
            "limits": dict(task.limits),
            "policy": task.policy.value,
            "expect": _expectation(task.expect),
        }
        for task in suite.tasks
    ]
    return {"name": suite.name, "title": suite.title, "description": suite.description, "tasks": tasks}


def _expectation(expect: task_suites.Expectation) -> dict[str, object]:
    return {
        "outcome": expect.outcome.value if expect.outcome else None,
        "score": expect.score,
        "alerts": sorted(category.value for category in expect.alerts),
        "quiet": expect.quiet,
    }


async def agents(request: WebRequest, _visitor: Visitor) -> Response:
    known = await asyncio.to_thread(task_suites.list_agents, request.state["settings"].suite_folders)
    return JSONResponse({"agents": [{"name": agent.name, "title": agent.title} for agent in known]})
