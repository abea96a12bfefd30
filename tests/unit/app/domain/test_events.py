"""Every event survives being written down."""

from __future__ import annotations

import dataclasses
import json
import typing

import pytest

from app.domain.events import KINDS, Event, event_from_json, event_to_json

SAMPLES: dict[type, object] = {str: "text", int: 7, float: 1.5, bool: True}


def sample(kind: type[Event]) -> Event:
    hints = typing.get_type_hints(kind)
    values = {}
    for field in dataclasses.fields(kind):
        plain = [each for each in typing.get_args(hints[field.name]) or (hints[field.name],) if each in SAMPLES]
        values[field.name] = SAMPLES[plain[0]]
    return kind(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_an_event_comes_back_as_it_was_written(kind: type[Event]) -> None:
    event = sample(kind)
    assert event_from_json(json.loads(json.dumps(event_to_json(event)))) == event


def test_an_unknown_kind_is_an_error_not_a_guess() -> None:
    with pytest.raises(KeyError):
        event_from_json({"kind": "SomethingElse"})
