"""From a form or a JSON body to the request the supervisor takes."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from starlette.datastructures import FormData

from app.domain.errors import Refused
from app.domain.limits import BOUNDS
from app.domain.runs import EvaluationRequest, Policy
from app.domain.sandboxes import Runtime
from app.web.asked import json_text, require_known, text_field
from app.web.contexts.evaluations import NewForm

_FIELDS = frozenset({"suite", "tasks", "agent", "model", "epochs", "policy", "runtime", "limits"})
_NAME = 200


def read_form(form: FormData) -> NewForm:
    """What was written, as it was written."""
    return NewForm(
        suite=text_field(form, "suite", limit=_NAME),
        tasks=tuple(value for value in form.getlist("task") if isinstance(value, str) and value)[:1000],
        agent=text_field(form, "agent", limit=_NAME),
        model=text_field(form, "model", limit=_NAME),
        epochs=text_field(form, "epochs", limit=10) or "1",
        policy=text_field(form, "policy", limit=20),
        runtime=text_field(form, "runtime", limit=20),
        limits={name: text for name in BOUNDS if (text := text_field(form, f"limits.{name}", limit=40))},
    )


def request_of_form(form: NewForm) -> EvaluationRequest:
    """Raises `Refused` naming the field."""
    if not form.suite:
        raise Refused("no suite is chosen", where="suite", todo="Choose one.")
    return EvaluationRequest(
        suite=form.suite,
        tasks=form.tasks,
        agent=form.agent or None,
        model=form.model or None,
        epochs=_epochs(form.epochs),
        policy=_policy(form.policy),
        runtime=_runtime(form.runtime),
        limits=form.limits,
    )


def request_of_json(data: Mapping[str, object]) -> EvaluationRequest:
    """Raises `Refused` naming the field."""
    require_known(data, _FIELDS)
    suite = json_text(data, "suite", limit=_NAME)
    if not suite:
        raise Refused("is missing", where="suite", todo="GET /api/v1/suites lists them.")
    tasks = data.get("tasks") or []
    if not isinstance(tasks, list) or not all(isinstance(task, str) for task in tasks):
        raise Refused("is not a list of texts", where="tasks", todo='Write ["family/task", …].')
    limits = data.get("limits") or {}
    if not isinstance(limits, dict):
        raise Refused("is not an object", where="limits", todo='Write {"wall_seconds": 60}.')
    return EvaluationRequest(
        suite=suite,
        tasks=tuple(tasks),
        agent=json_text(data, "agent", limit=_NAME) or None,
        model=json_text(data, "model", limit=_NAME) or None,
        epochs=_epochs(data.get("epochs", 1)),
        policy=_policy(json_text(data, "policy", limit=20)),
        runtime=_runtime(json_text(data, "runtime", limit=20)),
        limits=limits,
    )


def command_of(form: NewForm) -> str:
    """The same request on the command line."""
    words = ["crucible", "evaluate", "--suite", form.suite or "demo"]
    for task in form.tasks:
        words += ["--task", task]
    for option, value in (
        ("--agent", form.agent),
        ("--model", form.model),
        ("--policy", form.policy),
        ("--runtime", form.runtime),
    ):
        words += [option, value] if value else []
    if form.epochs not in ("", "1"):
        words += ["--epochs", form.epochs]
    for name, value in form.limits.items():
        words += ["--limit", f"{name}={value}"]
    return shlex.join(words)


def _epochs(value: object) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 7:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise Refused(f"{str(value)[:20]!r} is not a whole number from 1", where="epochs")
    return value


def _policy(text: str) -> Policy | None:
    if not text:
        return None
    try:
        return Policy(text)
    except ValueError:
        raise Refused(f"there is no policy {text!r}", where="policy", todo=f"Use one of {', '.join(Policy)}.") from None


def _runtime(text: str) -> Runtime | None:
    if not text:
        return None
    try:
        return Runtime(text)
    except ValueError:
        todo = f"Use one of {', '.join(Runtime)}."
        raise Refused(f"there is no runtime {text!r}", where="runtime", todo=todo) from None
