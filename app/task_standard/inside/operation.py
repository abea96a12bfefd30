"""Run one operation of a task family, as root in /root: operation.py OPERATION FAMILY TASK, with JSON on stdin.

The answer goes to the descriptor in CRUCIBLE_RESULT_FD as one JSON object, {"ok": …} or {"failed": text}; whatever
the family prints goes to stdout and stderr like any output. Without an answer the operation failed.
"""

from __future__ import annotations

import importlib
import inspect
import json
import math
import os
import sys
import traceback
import types
from importlib.util import find_spec
from typing import Any, TextIO

MAX_INSTRUCTIONS = 200_000


class Failed(Exception):
    pass


def take_result_pipe() -> TextIO:
    number = int(os.environ.pop("CRUCIBLE_RESULT_FD"))
    # Programs that the family starts (an agent's own submission among them) must not inherit the way to answer.
    os.set_inheritable(number, False)
    return os.fdopen(number, "w", encoding="utf-8", errors="backslashreplace")


def offer_types() -> None:
    """Families import the standard's types for annotations; where the package is missing, any name of it will do."""
    if find_spec("metr_task_standard") is None:
        package = types.ModuleType("metr_task_standard")
        package.types = types.ModuleType("metr_task_standard.types")  # type: ignore[attr-defined]
        package.types.__getattr__ = lambda name: Any
        sys.modules.update({"metr_task_standard": package, "metr_task_standard.types": package.types})


def find_task(family: Any, name: str) -> Any:
    tasks = family.get_tasks()
    for key in tasks:
        if str(key) == name:
            return tasks[key]
    known = ", ".join(sorted(str(key) for key in tasks)[:12])
    raise Failed(f"get_tasks() has no task {name!r}; it has: {known or 'none'}")


def number_of(value: Any, where: str) -> dict[str, Any]:
    """What a scorer answered, with its kind; raises Failed for what is no number."""
    if value is None:
        return {"kind": "none"}
    if isinstance(value, (str, bytes)) or not hasattr(value, "__float__"):
        raise Failed(f"{where} answered {type(value).__name__}, which is not a number")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise Failed(f"{where} answered {type(value).__name__}: {error}") from error
    if math.isnan(number):
        return {"kind": "nan"}
    if math.isinf(number):
        raise Failed(f"{where} answered infinity")
    return {"kind": "number", "value": number}


def text_of(value: Any, limit: int) -> str:
    return value[:limit] if isinstance(value, str) else repr(value)[:limit]


def setup(family: Any, task: Any) -> dict[str, Any]:
    warnings = []
    if hasattr(family, "get_instructions"):
        instructions = str(family.get_instructions(task))
        if len(instructions) > MAX_INSTRUCTIONS:
            raise Failed(f"get_instructions answered {len(instructions)} characters, more than {MAX_INSTRUCTIONS}")
    else:
        instructions = ""
        warnings.append("the family has no get_instructions; the agent is told nothing")
    permissions = list(family.get_permissions(task)) if hasattr(family, "get_permissions") else []
    needed = list(getattr(family, "required_environment_variables", []))
    unknown = sum(1 for permission in permissions if permission != "full_internet")
    if unknown:
        warnings.append(f"{unknown} unknown permissions grant nothing")
    if hasattr(family, "score") and hasattr(family, "intermediate_score"):
        warnings.append("both score and intermediate_score are defined")
    has_vm = hasattr(family, "get_aux_vm_spec") and family.get_aux_vm_spec(task) is not None
    return {
        "instructions": instructions,
        "permissions": ["full_internet"] if "full_internet" in permissions else [],
        "required_environment": [text_of(name, 256) for name in needed[:256]],
        "intermediate_scoring": hasattr(family, "intermediate_score"),
        "aux_vm": has_vm,
        "keep_owners": bool(getattr(family, "skip_chown_after_start", False)),
        "warnings": warnings,
    }


def intermediate(family: Any, task: Any) -> dict[str, Any]:
    """One entry of a score log, in both spellings of its times."""
    answer = family.intermediate_score(task)
    return {
        "score": answer.get("score"),
        "message": answer.get("message", {}),
        "details": answer.get("details", {}),
        "scoredAt": None,
        "createdAt": None,
        "elapsedTime": None,
        "scored_at": None,
        "created_at": None,
        "elapsed_seconds": None,
    }


def score(family: Any, task: Any, given: dict[str, Any]) -> dict[str, Any]:
    if hasattr(family, "aggregate_scores"):
        log = given.get("score_log") or []
        if not log and hasattr(family, "intermediate_score"):
            log = [intermediate(family, task)]  # the final state is looked at at least once
        return number_of(family.aggregate_scores(task, log), "aggregate_scores")
    if hasattr(family, "score"):
        return number_of(family.score(task, given.get("submission", "")), "score")
    return {"kind": "none"}


def teardown(family: Any, task: Any) -> None:
    """The text passes the task, the reference implementations pass nothing: both are in the wild."""
    if not hasattr(family, "teardown"):
        return
    try:
        inspect.signature(family.teardown).bind(task)
    except (TypeError, ValueError):
        family.teardown()
    else:
        family.teardown(task)


def perform(operation: str, family_name: str, task_name: str, given: dict[str, Any]) -> Any:
    family: Any = importlib.import_module(family_name).TaskFamily
    if operation == "install":
        if hasattr(family, "install"):
            family.install()
        return None
    task = find_task(family, task_name)
    if operation == "setup":
        return setup(family, task)
    if operation == "start":
        if hasattr(family, "start"):
            family.start(task)
        return None
    if operation == "score":
        return score(family, task, given)
    if operation == "teardown":
        teardown(family, task)
        return None
    raise Failed(f"there is no operation {operation!r}")


def main() -> None:
    operation, family, task = sys.argv[1:4]
    result = take_result_pipe()
    given = json.loads(sys.stdin.buffer.read() or b"{}")
    sys.argv[1:] = []
    sys.path.insert(0, os.getcwd())
    offer_types()
    try:
        answer: dict[str, Any] = {"ok": perform(operation, family, task, given)}
    except Failed as error:
        answer = {"failed": str(error)[:4000]}
    except Exception as error:
        traceback.print_exc()
        place = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{operation} raised {type(error).__name__}: {error} ({place.filename}:{place.lineno})"
        answer = {"failed": text[:4000]}
    # Half a letter (a lone surrogate) becomes its escape on the way out, which is what JSON writes for it.
    json.dump(answer, result, default=repr, ensure_ascii=False)
    result.close()
    sys.stdout.flush()
    # Threads and handlers that the family left behind have no say in how the operation ended.
    os._exit(1 if "failed" in answer else 0)


if __name__ == "__main__":
    main()
