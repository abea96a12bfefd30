"""The wall: all runs as cards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from markupsafe import Markup

from app.web.contexts.fragments import Queue, WallTools
from app.web.contexts.frame import Frame


@dataclass(frozen=True, slots=True, kw_only=True)
class WallForm:
    """What is chosen, and what there is to choose from. Inputs: q, suite, agent, model, mine, sort."""

    q: str
    suite: str
    agent: str
    model: str
    mine: bool
    attention: bool
    sort: str
    suites: tuple[str, ...]
    agents: tuple[str, ...]
    models: tuple[str, ...]
    sorts: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class WallPage:
    """pages/wall.html, GET /"""

    template: ClassVar[str] = "pages/wall.html"

    frame: Frame
    cards: tuple[Markup, ...]  #: fragments of `Card`, those that are wanted, in order
    dense: bool  #: many: small cards
    tools: WallTools
    form: WallForm
    words: bool  #: whether what agents write is shown
    queue: Queue
    wall: str  #: the query, as the stream is asked for it
    stream: str  #: "/stream?wall=…"
