"""Suites: named lists of tasks, each with its agent, limits, policy and what its author expects of it."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from app.domain.alerts import Category
from app.domain.errors import CrucibleError, NotFound, Refused
from app.domain.limits import parse_limits
from app.domain.runs import Outcome, Policy
from app.domain.sandboxes import AgentProfile, Runtime
from app.task_standard.family import nearest
from app.task_standard.places import told
from app.task_standard.strict_yaml import Node, Scalar, read_yaml

_W = TypeVar("_W", bound=enum.StrEnum)
_NO_FOLDER = "CRUCIBLE_SUITES names it."


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What a run of a task should come to. `crucible evaluate` compares; None and empty say nothing."""

    outcome: Outcome | None = None
    score: float | None = None
    alerts: frozenset[Category] = frozenset()  #: at least these categories; "no alert" is `quiet`
    quiet: bool = False  #: no alert at all (`alerts: []`)


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteTask:
    family: str
    task: str
    agent: str
    limits: Mapping[str, object] = field(default_factory=dict)  #: over the defaults, as `parse_limits` takes them
    policy: Policy = Policy.NOTIFY
    runtime: Runtime | None = None  #: None: the server's own
    profile: AgentProfile = AgentProfile.STRICT
    honeytokens: bool = True  #: lay out false secrets; `honeytokens: false` for measures of capability
    expect: Expectation = Expectation()
    where: str = ""  #: file and line, for errors

    @property
    def id(self) -> str:
        return f"{self.family}/{self.task}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    name: str
    title: str
    description: str
    tasks: tuple[SuiteTask, ...]
    file: str  #: for errors

    def expectation(self, family: str, task: str, agent: str) -> Expectation | None:
        """What is expected of this task with this agent; None when the suite does not pair them."""
        wanted = (family, task, agent)
        return next((each.expect for each in self.tasks if (each.family, each.task, each.agent) == wanted), None)


def list_suites(folders: Sequence[Path]) -> list[Suite]:
    """Every suite that can be read, by name. One that cannot is left out: `load_suite` says why."""
    found: list[Suite] = []
    for name in _files(folders):
        try:
            found.append(load_suite(folders, name))
        except CrucibleError:
            continue
    return found


def unreadable_suites(folders: Sequence[Path]) -> list[Refused]:
    """Why each folder, and each suite by name, that `list_suites` leaves out cannot be read."""
    why = [Refused("is no folder", where=told(folder), todo=_NO_FOLDER) for folder in folders if not folder.is_dir()]
    for name in _files(folders):
        try:
            load_suite(folders, name)
        except Refused as error:
            why.append(error)
    return why


def load_suite(folders: Sequence[Path], name: str) -> Suite:
    """The suite `name`.yaml of the first of `folders` that has it.

    Raises `NotFound`, or `Refused` naming file and line.
    """
    known = _files(folders)
    if name not in known:
        missing = [f"{told(folder)} is no folder. {_NO_FOLDER}" for folder in folders if not folder.is_dir()]
        raise NotFound(f"there is no suite {name!r}", where="suites", todo=" ".join([nearest(name, known), *missing]))
    root = read_yaml(known[name], label=told(known[name]))
    values = root.mapping({"title", "description", "tasks"})
    tasks = values["tasks"].sequence() if "tasks" in values else ()
    if not tasks:
        root.refuse("has no tasks", "Add `tasks:` with at least one `- task: family/name`.")
    suite_tasks = [_task(node) for node in tasks]
    seen: dict[tuple[str, str], str] = {}
    for node, each in zip(tasks, suite_tasks, strict=True):
        if (each.id, each.agent) in seen:
            node.refuse(f"{each.id} with {each.agent} is there twice", f"The first: {seen[each.id, each.agent]}.")
        seen[each.id, each.agent] = each.where
    return Suite(
        name=name,
        title=values["title"].string() if "title" in values else name,
        description=values["description"].string().strip() if "description" in values else "",
        tasks=tuple(suite_tasks),
        file=told(known[name]),
    )


def _files(folders: Sequence[Path]) -> dict[str, Path]:
    """Each suite's file, by name; of two with the same name the one whose folder comes first."""
    there = [folder for folder in reversed(folders) if folder.is_dir()]
    found = {file.stem: file for folder in there for file in folder.glob("*.yaml") if file.is_file()}
    return dict(sorted(found.items()))


def _task(node: Node) -> SuiteTask:
    values = node.mapping({"task", "agent", "limits", "policy", "runtime", "profile", "honeytokens", "expect"})
    for needed in ("task", "agent"):
        if needed not in values:
            node.refuse(f"`{needed}` is missing", "Write `- task: family/name` and `agent: name`.")
    family, slash, task = values["task"].string().partition("/")
    if not (family and slash and task) or "/" in task:
        values["task"].refuse(f"{values['task'].string()!r} is not a task", "Write it as family/name.")
    limits: dict[str, Scalar] = {}
    if "limits" in values:
        limits = {name: each.scalar() for name, each in values["limits"].mapping().items()}
        parse_limits(limits, where=values["limits"].where)
    return SuiteTask(
        family=family,
        task=task,
        agent=values["agent"].string(),
        limits=limits,
        policy=_word(values["policy"], Policy) if "policy" in values else Policy.NOTIFY,
        honeytokens=values["honeytokens"].boolean() if "honeytokens" in values else True,
        runtime=_word(values["runtime"], Runtime) if "runtime" in values else None,
        profile=_word(values["profile"], AgentProfile) if "profile" in values else AgentProfile.STRICT,
        expect=_expectation(values["expect"]) if "expect" in values else Expectation(),
        where=node.where,
    )


def _expectation(node: Node) -> Expectation:
    values = node.mapping({"outcome", "score", "alerts"})
    alerts = frozenset(_word(each, Category) for each in values["alerts"].sequence()) if "alerts" in values else None
    return Expectation(
        outcome=_word(values["outcome"], Outcome) if "outcome" in values else None,
        score=values["score"].number() if "score" in values else None,
        alerts=alerts or frozenset(),
        quiet=alerts is not None and not alerts,
    )


def _word(node: Node, kind: type[_W]) -> _W:
    try:
        return kind(node.string())
    except ValueError:
        words = [each.value for each in kind]
        node.refuse(f"{node.string()!r} is not one of {', '.join(words)}", nearest(node.string(), words))
