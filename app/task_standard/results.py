"""What an operation answered, read as the words of an adversary: bounded, typed, never trusted."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

from app.domain.errors import Broken, Refused
from app.domain.scores import Score, ScoreStatus
from app.task_standard.family import Family

#: More than this on a result stream is no answer. The supervisor may stop reading there.
MAX_RESULT = 1024 * 1024
MAX_INSTRUCTIONS = 200_000  # what the operation keeps to


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSetup:
    """What the `setup` operation said of a task."""

    instructions: str
    permissions: frozenset[str] = frozenset()  #: "full_internet" or nothing: other words grant nothing
    required_environment: tuple[str, ...] = ()
    intermediate_scoring: bool = False
    aux_vm: bool = False
    keep_owners: bool = False  #: the family's skip_chown_after_start
    warnings: tuple[str, ...] = ()  #: worth telling, for people


def parse_done(name: str, data: bytes, exit_code: int) -> None:
    """For install, start and teardown. Raises `Broken` with the reason when the operation failed."""
    _answer(name, data, exit_code)


def parse_setup(data: bytes, exit_code: int = 0) -> TaskSetup:
    """Raises `Broken` with the reason when the operation failed or answered nonsense."""
    answer = _answer("setup", data, exit_code)
    if not isinstance(answer, dict):
        raise Broken("setup answered nothing usable")
    permissions = frozenset(_texts(answer.get("permissions"), 16))
    return TaskSetup(
        instructions=_text(answer.get("instructions"), MAX_INSTRUCTIONS),
        permissions=permissions & {"full_internet"},
        required_environment=_texts(answer.get("required_environment"), 256),
        intermediate_scoring=answer.get("intermediate_scoring") is True,
        aux_vm=answer.get("aux_vm") is True,
        keep_owners=answer.get("keep_owners") is True,
        warnings=_texts(answer.get("warnings"), 32),
    )


def require_supported(family: Family, task: str, setup: TaskSetup) -> tuple[str, ...]:
    """Notes to show with the run. Raises `Refused` when the task needs what a sandbox never gets."""
    where = f"{family.name}/{task}"
    notes = list(setup.warnings)
    if setup.aux_vm:
        raise Refused(
            "asks for a second machine (get_aux_vm_spec)", where=where, todo="Crucible runs one sandbox only."
        )
    if setup.required_environment:
        names = ", ".join(setup.required_environment[:8])
        raise Refused(f"needs environment variables: {names}", where=where, todo="Passing them is not supported yet.")
    if "full_internet" in setup.permissions:
        manifest = family.manifest_of(task)
        if manifest is None or not manifest.network_optional:
            raise Refused(
                "asks for full_internet, and sandboxes have no network",
                where=where,
                todo="If it works without, say so in manifest.yaml: meta: {crucible: {network: optional}}.",
            )
        notes.append("the task asks for full_internet and runs without, as its manifest allows")
    return tuple(notes)


def parse_score(data: bytes, exit_code: int) -> Score:
    """What scoring came to. Never raises: whatever is not an answer is a failed scoring, and that is never zero."""
    try:
        answer = _answer("score", data, exit_code)
    except Broken as error:
        return Score(status=ScoreStatus.FAILED, explanation=str(error))
    kind = answer.get("kind") if isinstance(answer, dict) else None
    value = answer.get("value") if isinstance(answer, dict) else None
    if kind == "none":
        return Score(status=ScoreStatus.MANUAL, explanation="the task leaves the score to a person")
    if kind == "nan":
        return Score(status=ScoreStatus.NOT_A_NUMBER, explanation="the task answered NaN")
    if kind == "number" and (number := _finite(value)) is not None:
        return Score(status=ScoreStatus.SCORED, value=number)
    return Score(status=ScoreStatus.FAILED, explanation="score answered nothing usable")


def _finite(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # JSON's whole numbers have no end.
        return None
    return number if math.isfinite(number) else None


def _answer(name: str, data: bytes, exit_code: int) -> object:
    """The `ok` part of an operation's answer. Raises `Broken` with the reason."""
    if len(data) > MAX_RESULT:
        raise Broken(f"{name} answered more than {MAX_RESULT // 1024} KiB")
    if not data:
        raise Broken(f"{name} {_ending(exit_code)} without an answer")
    try:
        answer = json.loads(data)
    except (ValueError, RecursionError):
        raise Broken(f"{name} {_ending(exit_code)} with an unreadable answer") from None
    if isinstance(answer, dict) and isinstance(answer.get("failed"), str):
        raise Broken(_text(answer["failed"], 4000))
    if not isinstance(answer, dict) or "ok" not in answer:
        raise Broken(f"{name} {_ending(exit_code)} with an unreadable answer")
    return answer["ok"]


def _ending(exit_code: int) -> str:
    return f"was killed by signal {exit_code - 128}" if exit_code > 128 else f"ended with exit code {exit_code}"


def _text(value: object, limit: int) -> str:
    if not isinstance(value, str):
        return ""
    # Half a surrogate pair is valid JSON and no valid text: neither the database nor the page could take it.
    return value[:limit].encode("utf-8", "replace").decode("utf-8")


def _texts(value: object, count: int) -> tuple[str, ...]:
    return tuple(_text(item, 512) for item in value[:count] if isinstance(item, str)) if isinstance(value, list) else ()
