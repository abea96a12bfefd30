"""Every attack, in the order they are played. Each module holds one kind."""

from __future__ import annotations

from app.proof.attack import Attack
from app.proof.attacks import ending, files, ordinary, output, resources, rights, walls

ATTACKS: tuple[Attack, ...] = (
    *walls.ATTACKS,
    *rights.ATTACKS,
    *resources.ATTACKS,
    *output.ATTACKS,
    *files.ATTACKS,
    *ending.ATTACKS,
    *ordinary.ATTACKS,
)
