"""Requests are read with care, and every refusal names the field."""

import pytest
from starlette.datastructures import FormData

from app.domain.errors import Refused
from app.domain.runs import EvaluationRequest, Policy
from app.web.contexts.evaluations import NewForm
from app.web.evaluation_request import command_of, read_form, request_of_form, request_of_json


def test_a_form_becomes_a_request() -> None:
    form = FormData(
        [
            ("suite", " demo "), ("task", "tiny/one"), ("task", "tiny/two"), ("agent", ""), ("model", "m"),
            ("epochs", "3"), ("policy", "stop"), ("limits.wall_seconds", "20s"), ("limits.pids", ""), ("other", "x"),
        ]
    )  # fmt: skip
    assert request_of_form(read_form(form)) == EvaluationRequest(
        suite="demo",
        tasks=("tiny/one", "tiny/two"),
        agent=None,
        model="m",
        epochs=3,
        policy=Policy.STOP,
        limits={"wall_seconds": "20s"},
    )


def test_json_becomes_the_same_request() -> None:
    data = {"suite": "demo", "tasks": ["tiny/one"], "epochs": 2, "policy": "freeze", "limits": {"pids": 64}}
    assert request_of_json(data) == EvaluationRequest(
        suite="demo", tasks=("tiny/one",), epochs=2, policy=Policy.FREEZE, limits={"pids": 64}
    )


@pytest.mark.parametrize(
    ("data", "where"),
    [
        ({}, "suite"),
        ({"suite": 3}, "suite"),
        ({"suite": "demo", "tasks": "tiny/one"}, "tasks"),
        ({"suite": "demo", "tasks": [1]}, "tasks"),
        ({"suite": "demo", "limits": [1]}, "limits"),
        ({"suite": "demo", "epochs": 0}, "epochs"),
        ({"suite": "demo", "epochs": True}, "epochs"),
        ({"suite": "demo", "epochs": 1.5}, "epochs"),
        ({"suite": "demo", "epochs": "many"}, "epochs"),
        ({"suite": "demo", "policy": "explode"}, "policy"),
        ({"suite": "demo", "sweet": 1}, "body"),
        ({"suite": "x" * 500}, "suite"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(data: dict[str, object], where: str) -> None:
    with pytest.raises(Refused) as refused:
        request_of_json(data)
    assert refused.value.where == where


def test_a_form_without_a_suite_is_refused() -> None:
    with pytest.raises(Refused, match="no suite"):
        request_of_form(NewForm(suite=""))


def test_the_same_on_the_command_line_is_quoted() -> None:
    form = NewForm(suite="demo", tasks=("a/b; rm",), epochs="2", limits={"pids": "64"})
    assert command_of(form) == "crucible evaluate --suite demo --task 'a/b; rm' --epochs 2 --limit pids=64"
