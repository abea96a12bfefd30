"""What the wall offers to choose from, ready to print. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from app.web.contexts.fragments import Card, WallTools
from app.web.contexts.wall import WallForm
from app.web.parts import Chip
from app.web.views.cards import suites_of
from app.web.wall_query import STATES, WORDS, WallQuery, counts

#: More cards than this are shown small.
DENSE = 24


def tools_of(query: WallQuery, cards: Sequence[Card], *, shown: int, me: str) -> WallTools:
    """The chips: each leads to the wall with its own choice turned round and all others kept."""
    found, attention = counts(query, cards, me=me)
    chips = tuple(
        Chip(
            label=state.capitalize(),
            count=found[state],
            href=_href(query, states=query.states ^ {state}),
            on=state in query.states,
        )
        for state in STATES
        if found[state] or state in query.states
    )
    return WallTools(
        chips=chips,
        attention=Chip(
            label="Needs attention",
            count=attention,
            href=_href(query, attention=not query.attention),
            on=query.attention,
        ),
        states=tuple(state for state in STATES if state in query.states),
        shown=shown,
        total=len(cards),
        filtered=query.filters,
        clear=_href(WallQuery(sort=query.sort)),
    )


def form_of_wall(query: WallQuery, cards: Sequence[Card]) -> WallForm:
    suites, agents, models = suites_of(cards)
    return WallForm(
        q=query.text,
        suite=query.suite,
        agent=query.agent,
        model=query.model,
        mine=query.mine,
        attention=query.attention,
        sort=query.sort,
        suites=_with(suites, query.suite),
        agents=_with(agents, query.agent),
        models=_with(models, query.model),
        sorts=WORDS,
    )


def _with(offered: tuple[str, ...], chosen: str) -> tuple[str, ...]:
    """What is chosen stays to be seen though no card has it."""
    return offered if not chosen or chosen in offered else (*offered, chosen)


def _href(query: WallQuery, **changes: object) -> str:
    address = query.address(**changes)
    return f"/?{address}" if address else "/"
