"""Which runs of the wall an address asks for."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest

from app.domain.errors import Refused
from app.domain.runs import Run, RunState
from app.web.contexts.fragments import Card
from app.web.views.cards import Facts, card_of
from app.web.views.wall import tools_of
from app.web.wall_query import SORTS, WORDS, WallQuery, chosen, counts, parse_wall, wall_of
from tests.unit.app.web.test_views import alert, run

RUNS = {
    "calm": run(id=1, agent="doer"),
    "other": run(id=2, agent="other", suite="second", model="m-1"),
    "frozen": run(id=3, state=RunState.FROZEN),
    "ended": run(id=4, state=RunState.ENDED),
}


def card(what: Run, actor: str = "ann", **facts: object) -> Card:
    return card_of(Facts(run=what, actor=actor, **facts), account=None, now=1050.0)  # type: ignore[arg-type]


CARDS = [card(RUNS["calm"]), card(RUNS["other"], "ben"), card(RUNS["frozen"]), card(RUNS["ended"])]


def ids(address: str, me: str = "ann") -> list[int]:
    return [each.run.id for each in chosen(parse_wall(address), CARDS, me=me)]


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("", [3, 2, 1, 4]),
        ("state=frozen", [3]),
        ("state=frozen&state=ended", [3, 4]),
        ("suite=second", [2]),
        ("agent=doer", [3, 1, 4]),
        ("model=m-1", [2]),
        ("attention=1", [3]),
        ("mine=1", [3, 1, 4]),
        ("q=TINY", [3, 2, 1, 4]),
        ("q=other", [2]),
        ("q=%232", [2]),
        ("q=ben", [2]),
        ("q=nothing+like+it", []),
        ("sort=newest", [4, 3, 2, 1]),
        ("sort=oldest", [1, 2, 3, 4]),
        ("utm_source=x&state=", [3, 2, 1, 4]),
    ],
)
def test_an_address_says_which_runs_and_in_which_order(address: str, wanted: list[int]) -> None:
    assert ids(address) == wanted


def test_mine_are_those_of_who_asks() -> None:
    assert ids("mine=1", me="ben") == [2]


def test_an_address_is_read_back_as_it_was_written() -> None:
    for query in (
        WallQuery(),
        WallQuery(
            states=frozenset({"running", "frozen"}), suite="a b", agent="&", model="ü", text="x=y", attention=True,
            mine=True, sort="cpu",
        ),
    ):  # fmt: skip
        assert parse_wall(query.address()) == query
    assert WallQuery().address() == ""
    assert not WallQuery(sort="newest").filters
    assert WallQuery(text="x").filters


@pytest.mark.parametrize(("address", "where"), [("state=asleep", "state"), ("sort=colour", "sort")])
def test_a_word_that_is_none_of_ours_is_refused_by_name(address: str, where: str) -> None:
    with pytest.raises(Refused) as refused:
        wall_of(parse_qsl(address))
    assert refused.value.where == where


def test_counts_are_of_what_a_choice_would_show_with_the_others_as_they_are() -> None:
    states, attention = counts(parse_wall("agent=doer&state=ended"), CARDS, me="ann")
    assert {state: count for state, count in states.items() if count} == {"running": 1, "frozen": 1, "ended": 1}
    assert attention == 1


def test_a_chip_turns_its_own_choice_round_and_keeps_the_others() -> None:
    query = parse_wall("state=frozen&agent=doer&sort=cpu")
    tools = tools_of(query, CARDS, shown=1, me="ann")
    hrefs = {chip.label: (chip.href, chip.on) for chip in tools.chips}
    assert hrefs["Frozen"] == ("/?agent=doer&sort=cpu", True)
    assert hrefs["Running"] == ("/?state=running&state=frozen&agent=doer&sort=cpu", False)
    assert tools.clear == "/?sort=cpu"
    assert (tools.shown, tools.total, tools.filtered) == (1, 4, True)


def test_every_sort_has_a_word_and_orders_without_an_error() -> None:
    assert SORTS.keys() == WORDS.keys()
    cards = [*CARDS, card(run(id=5, task="0"), alerts=[alert()])]
    for sort in SORTS:
        assert len(chosen(WallQuery(sort=sort), cards, me="")) == 5
    assert chosen(WallQuery(sort="task"), cards, me="")[0].run.id == 5
