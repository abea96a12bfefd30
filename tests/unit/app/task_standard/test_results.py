"""Answers of operations are read as the words of an adversary."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import Broken, Refused
from app.domain.scores import ScoreStatus
from app.task_standard.family import Family
from app.task_standard.manifest import Manifest, TaskManifest
from app.task_standard.results import (
    MAX_RESULT,
    TaskSetup,
    parse_done,
    parse_score,
    parse_setup,
    require_supported,
)


def ok(value: object) -> bytes:
    return json.dumps({"ok": value}).encode()


def family(*, network_optional: bool = False) -> Family:
    manifest = Manifest(file="f/manifest.yaml", tasks={"t": TaskManifest(line=3, network_optional=network_optional)})
    return Family(name="f", folder=Path("f"), digest="0" * 64, manifest=manifest, task_names=None, files=())


def test_a_setup_is_read_as_what_it_says() -> None:
    setup = parse_setup(ok({"instructions": "Do it.", "permissions": ["full_internet"], "intermediate_scoring": True}))
    assert setup == TaskSetup(
        instructions="Do it.", permissions=frozenset({"full_internet"}), intermediate_scoring=True
    )


def test_permissions_that_nobody_defined_grant_nothing() -> None:
    assert (
        parse_setup(ok({"instructions": "", "permissions": ["root", "full_internet_", 7, None]})).permissions == set()
    )
    assert parse_setup(ok({"instructions": "", "permissions": "full_internet"})).permissions == set()


@pytest.mark.parametrize(
    ("data", "code", "reason"),
    [
        (b"", 3, "setup ended with exit code 3 without an answer"),
        (b"", 137, "setup was killed by signal 9 without an answer"),
        (b"{", 0, "with an unreadable answer"),
        (b"[1]", 0, "with an unreadable answer"),
        (b'{"neither": 1}', 0, "with an unreadable answer"),
        (b'{"failed": "get_tasks() has no task \'x\'"}', 1, "get_tasks() has no task 'x'"),
        (b"[" * 100_000, 0, "with an unreadable answer"),
        (b'{"ok": ' + b"9" * 5000 + b"}", 0, "with an unreadable answer"),
        (b"x" * (MAX_RESULT + 1), 0, "answered more than"),
        (ok("words"), 0, "nothing usable"),
    ],
)
def test_no_answer_is_a_broken_setup_with_its_reason(data: bytes, code: int, reason: str) -> None:
    with pytest.raises(Broken) as broken:
        parse_setup(data, code)
    assert reason in str(broken.value)


def test_an_operation_without_a_value_is_done_when_it_says_so() -> None:
    parse_done("start", ok(None), 0)
    with pytest.raises(Broken, match="start raised OSError"):
        parse_done("start", json.dumps({"failed": "start raised OSError: no"}).encode(), 1)


def test_half_a_letter_in_a_text_becomes_a_whole_one() -> None:
    assert parse_setup(b'{"ok": {"instructions": "a\\ud800b"}}').instructions == "a?b"


@pytest.mark.parametrize(
    ("answer", "status", "value"),
    [
        ({"kind": "number", "value": 0.25}, ScoreStatus.SCORED, 0.25),
        ({"kind": "number", "value": 7}, ScoreStatus.SCORED, 7.0),
        ({"kind": "number", "value": -1}, ScoreStatus.SCORED, -1.0),
        ({"kind": "none"}, ScoreStatus.MANUAL, None),
        ({"kind": "nan"}, ScoreStatus.NOT_A_NUMBER, None),
        ({"kind": "number", "value": True}, ScoreStatus.FAILED, None),
        ({"kind": "number", "value": "1"}, ScoreStatus.FAILED, None),
        ({"kind": "number", "value": float("nan")}, ScoreStatus.FAILED, None),
        ({"kind": "number", "value": float("inf")}, ScoreStatus.FAILED, None),
        ({"kind": "number"}, ScoreStatus.FAILED, None),
        ({}, ScoreStatus.FAILED, None),
        (1.0, ScoreStatus.FAILED, None),
    ],
)
def test_a_score_is_a_number_or_says_why_there_is_none(
    answer: object, status: ScoreStatus, value: float | None
) -> None:
    score = parse_score(ok(answer), 0)
    assert (score.status, score.value) == (status, value)
    assert bool(score.explanation) == (status is not ScoreStatus.SCORED)


def test_a_scorer_that_only_exits_has_failed_and_not_scored_zero() -> None:
    score = parse_score(b"", 0)
    assert (score.status, score.value) == (ScoreStatus.FAILED, None)
    assert "ended with exit code 0 without an answer" in score.explanation


ANSWERS = st.recursive(
    st.none() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.dictionaries(st.sampled_from(["ok", "failed", "kind", "value"]), inner),
)


@given(st.binary(max_size=200) | ANSWERS.map(lambda value: json.dumps(value).encode()), st.integers(0, 255))
def test_scoring_never_raises_whatever_it_answered(data: bytes, code: int) -> None:
    score = parse_score(data, code)
    assert (score.value is not None) == (score.status is ScoreStatus.SCORED)


def test_a_task_that_asks_for_the_internet_is_refused() -> None:
    setup = TaskSetup(instructions="", permissions=frozenset({"full_internet"}))
    with pytest.raises(Refused, match=r"^f/t: asks for full_internet, and sandboxes have no network"):
        require_supported(family(), "t", setup)


def test_a_task_whose_manifest_calls_the_internet_optional_runs_with_a_note() -> None:
    setup = TaskSetup(instructions="", permissions=frozenset({"full_internet"}), warnings=("one",))
    notes = require_supported(family(network_optional=True), "t", setup)
    assert notes[0] == "one"
    assert "runs without" in notes[1]


def test_a_second_machine_and_secrets_are_refused_by_name() -> None:
    with pytest.raises(Refused, match="second machine"):
        require_supported(family(), "t", TaskSetup(instructions="", aux_vm=True))
    with pytest.raises(Refused, match="API_KEY, OTHER"):
        require_supported(family(), "t", TaskSetup(instructions="", required_environment=("API_KEY", "OTHER")))


@pytest.mark.parametrize("digits", [400, 4000, 5000])
def test_a_score_beyond_all_numbers_is_a_failed_scoring(digits: int) -> None:
    score = parse_score(b'{"ok":{"kind":"number","value":1' + b"0" * digits + b"}}", 0)
    assert score.status is ScoreStatus.FAILED
