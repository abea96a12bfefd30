"""What can be run, and from a request to the runs it means: the whole validation, before anything is queued."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from app.domain.errors import NotFound, Refused
from app.domain.limits import BOUNDS, RunLimits, parse_limits
from app.domain.runs import EvaluationRequest, PlannedRun
from app.domain.sandboxes import Runtime
from app.task_standard.agents import Agent, agent_archive, list_agents, load_agent
from app.task_standard.family import Family, find_family, nearest
from app.task_standard.places import told
from app.task_standard.suite_files import Expectation, Suite, SuiteTask, list_suites, load_suite, unreadable_suites

__all__ = [
    "Agent",
    "Expectation",
    "Suite",
    "SuiteTask",
    "list_agents",
    "list_suites",
    "load_agent",
    "load_suite",
    "plan",
    "unreadable_suites",
]

MAX_EPOCHS = 100
MAX_RUNS = 1000


def plan(folders: Sequence[Path], request: EvaluationRequest, *, runtime: Runtime = Runtime.AUTO) -> list[PlannedRun]:
    """The runs `request` means, in the suite's order, epoch by epoch.

    Suites, families and agents are each taken from the first of `folders` that has the name.
    Limits, later over earlier: defaults, the family's manifest, the suite, the request. `runtime`: the server's own,
    where neither request nor suite says.
    Raises `Refused` (or `NotFound`) naming what, where and what to do; then nothing was started.
    """
    suite = load_suite(folders, request.suite)
    if not 1 <= request.epochs <= MAX_EPOCHS:
        raise Refused(f"epochs is {request.epochs}", where="request", todo=f"Choose 1 to {MAX_EPOCHS}.")
    chosen = _chosen(suite, request)
    if len(chosen) * request.epochs > MAX_RUNS:
        raise Refused(
            f"means {len(chosen) * request.epochs} runs", where="request", todo=f"{MAX_RUNS} at once at most."
        )
    families = {name: find_family(folders, name) for name in dict.fromkeys(each.family for each in chosen)}
    for name in dict.fromkeys(each.agent for each in chosen):
        agent_archive(load_agent(folders, name))  # read whole, so that an unreadable file is found now
    return [
        PlannedRun(
            suite=suite.name,
            family=each.family,
            task=each.task,
            agent=each.agent,
            model=request.model,
            epoch=epoch,
            limits=_limits(families[each.family], each, request),
            policy=request.policy or each.policy,
            runtime=request.runtime or each.runtime or runtime,
            profile=each.profile,
            honeytokens=each.honeytokens,
        )
        for epoch in range(1, request.epochs + 1)
        for each in chosen
    ]


def _chosen(suite: Suite, request: EvaluationRequest) -> list[SuiteTask]:
    ids = [each.id for each in suite.tasks]
    for wanted in request.tasks:
        if wanted not in ids:
            hint = nearest(wanted, set(ids))
            raise NotFound(f"there is no task {wanted!r}", where=suite.file, todo=hint)
    chosen: dict[tuple[str, str], SuiteTask] = {}
    for each in suite.tasks:
        if request.tasks and each.id not in request.tasks:
            continue
        if request.agent is None:
            chosen[each.id, each.agent] = each
        elif (each.id, request.agent) not in chosen or each.agent == request.agent:
            # One agent for all: a task that the suite gives to two agents is one run, with its own entry if it has one.
            # What is expected is expected of the suite's agent.
            chosen[each.id, request.agent] = replace(each, agent=request.agent, expect=Expectation())
    return list(chosen.values())


def _limits(family: Family, task: SuiteTask, request: EvaluationRequest) -> RunLimits:
    family.require_task(task.task)
    manifest = family.manifest_of(task.task)
    base = RunLimits()
    if manifest is not None:
        where = f"{told(family.folder / 'manifest.yaml')}:{manifest.line}"
        if manifest.gpus:
            raise Refused("the task needs a GPU, and sandboxes have none", where=where, todo="Leave this task out.")
        wishes: dict[str, object] = {}
        if manifest.memory_bytes is not None:
            wishes["memory_bytes"] = max(manifest.memory_bytes, int(BOUNDS["memory_bytes"][0]))
        if manifest.cpus is not None:
            # An engine refuses more cores than it has; a manifest asks for what is good, not for what is there.
            wishes["cpus"] = min(manifest.cpus, os.cpu_count() or 1)
        base = parse_limits(wishes, base=base, where=where)
    return parse_limits(request.limits, base=parse_limits(task.limits, base=base, where=task.where), where="limits")
