"""A refusal reads as sentences."""

from __future__ import annotations

import pytest

from app.domain.errors import Refused


@pytest.mark.parametrize(
    ("refusal", "text"),
    [
        (Refused("there is no suite 'x'"), "there is no suite 'x'"),
        (Refused("no suite 'x'", where="request", todo="Use 'y'."), "request: no suite 'x'. Use 'y'."),
        (Refused("Is it running?", todo="Start it."), "Is it running? Start it."),
    ],
)
def test_what_where_and_what_to_do_are_joined_as_sentences(refusal: Refused, text: str) -> None:
    assert str(refusal) == text
