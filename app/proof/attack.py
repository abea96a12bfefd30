"""What an attack is, and what can come of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.proof.ground import Ground


class Broke(Exception):
    """The sandbox did not do what it should. The text says what happened."""


class Untestable(Exception):
    """It cannot be tried here. The text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One line of the proof.

    `play` answers what happened, for people, when the sandbox held; it raises `Broke` or `Untestable` otherwise.
    """

    name: str  #: for `--only` and the tests
    title: str  #: what is attempted
    should: str  #: what should happen
    play: Callable[[Ground], Awaitable[str]]


def require(held: bool, happened: str) -> None:
    """Raise `Broke` with what happened unless `held`."""
    if not held:
        raise Broke(happened)
