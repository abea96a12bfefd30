"""Asking for evaluations, and their results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from app.web.contexts.frame import Frame
from app.web.parts import (
    AgentView,
    EvaluationView,
    LimitField,
    Problem,
    ReceiptView,
    RuntimeOption,
    SuiteView,
    TaskResult,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewForm:
    """What was written, to fill the form again. Inputs: suite, task (many), agent, model, epochs, policy, limits.*"""

    suite: str
    tasks: tuple[str, ...] = ()
    agent: str = ""
    model: str = ""
    epochs: str = "1"
    policy: str = ""  #: "" means each task's own
    runtime: str = ""  #: the same
    limits: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPage:
    """pages/new.html, GET /new; POST /evaluations shows it again (400) with `problem`."""

    template: ClassVar[str] = "pages/new.html"

    frame: Frame
    suites: tuple[SuiteView, ...]
    agents: tuple[AgentView, ...]
    policies: tuple[str, ...]
    runtimes: tuple[RuntimeOption, ...]
    limits: tuple[LimitField, ...]
    form: NewForm
    problem: Problem | None
    command: str  #: the same on the command line


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationsPage:
    """pages/evaluations.html, GET /evaluations"""

    template: ClassVar[str] = "pages/evaluations.html"

    frame: Frame
    evaluations: tuple[EvaluationView, ...]
    older: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationPage:
    """pages/evaluation.html, GET /evaluations/{id}: results."""

    template: ClassVar[str] = "pages/evaluation.html"

    frame: Frame
    evaluation: EvaluationView
    results: tuple[TaskResult, ...]
    outcomes: Mapping[str, int]  #: outcome -> runs; stopped ones never count as a low score
    scored: int
    mean: float | None
    alerts: Mapping[int, int]  #: run id -> open alerts
    stops: Mapping[int, ReceiptView]  #: run id -> the stop that ended it, or is ending it
