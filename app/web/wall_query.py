"""Which runs of the wall are wanted, and in which order: what the address of the wall says. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, urlencode

from app.domain.errors import Refused
from app.domain.runs import RunState
from app.web.contexts.fragments import Card

#: States a run on the wall may have, in the order in which they are offered.
STATES = tuple(state.value for state in RunState if state is not RunState.QUEUED)
TEXT = 200
_FAR = float("inf")

#: Sort choice -> the key of a card; lower is nearer to the top. Equals: newest first.
SORTS: Mapping[str, Callable[[Card], float]] = {
    "attention": lambda card: card.rank,
    "newest": lambda card: 0.0,
    "oldest": lambda card: float(card.run.id),
    "idle": lambda card: _FAR if card.idle_since is None else card.idle_since,
    "time": lambda card: -card.run.fraction if card.run.live else 1.0,
    "cpu": lambda card: -(card.cpu_now or 0.0),
    "memory": lambda card: -(card.memory_now or 0) / card.memory_limit,
    "task": lambda card: 0.0,
}
WORDS: Mapping[str, str] = {
    "attention": "Need of attention",
    "newest": "Newest first",
    "oldest": "Oldest first",
    "idle": "Longest without output",
    "time": "Nearest to the time limit",
    "cpu": "CPU",
    "memory": "Memory",
    "task": "Task",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class WallQuery:
    """What is wanted. Empty means all."""

    states: frozenset[str] = frozenset()
    suite: str = ""
    agent: str = ""
    model: str = ""
    text: str = ""
    attention: bool = False
    mine: bool = False
    sort: str = "attention"

    @property
    def filters(self) -> bool:
        return replace(self, sort="attention") != WallQuery()

    def address(self, **changes: object) -> str:
        """The part behind "?" that says it, without what is at its default; "" for everything."""
        wanted = replace(self, **changes)  # type: ignore[arg-type]
        pairs = [("state", state) for state in STATES if state in wanted.states]
        pairs += [
            (name, value)
            for name, value in (
                ("suite", wanted.suite),
                ("agent", wanted.agent),
                ("model", wanted.model),
                ("q", wanted.text),
                ("attention", "1" if wanted.attention else ""),
                ("mine", "1" if wanted.mine else ""),
                ("sort", "" if wanted.sort == "attention" else wanted.sort),
            )
            if value
        ]
        return urlencode(pairs)


def parse_wall(text: str) -> WallQuery:
    """What `WallQuery.address` wrote. Raises `Refused` naming the field."""
    return wall_of(parse_qsl(text[:4000], max_num_fields=50))


def wall_of(pairs: Sequence[tuple[str, str]]) -> WallQuery:
    """From the fields of an address; those of others are passed over. Raises `Refused` naming the field."""
    given: dict[str, list[str]] = {}
    for name, value in pairs:
        given.setdefault(name, []).append(value.strip()[:TEXT])

    def one(name: str) -> str:
        return given.get(name, [""])[-1]

    return WallQuery(
        states=frozenset(_known(state, STATES, "state") for state in given.get("state", []) if state),
        suite=one("suite"),
        agent=one("agent"),
        model=one("model"),
        text=one("q"),
        attention=one("attention") == "1",
        mine=one("mine") == "1",
        sort=_known(one("sort") or "attention", SORTS, "sort"),
    )


def _known(word: str, words: Collection[str], where: str) -> str:
    if word not in words:
        raise Refused(f"{word[:40]!r} is none of them", where=where, todo=f"Use {', '.join(words)}.")
    return word


def chosen(query: WallQuery, cards: Sequence[Card], *, me: str) -> list[Card]:
    """Those that are wanted, in order. `me` is whose runs "mine" means."""
    fitting = [card for card in cards if fits(query, card, me=me)]
    by_id = sorted(fitting, key=lambda card: card.run.id, reverse=True)
    if query.sort == "task":
        return sorted(by_id, key=lambda card: card.run.task_id)
    return sorted(by_id, key=SORTS[query.sort])


def fits(query: WallQuery, card: Card, *, me: str, any_state: bool = False) -> bool:
    """`any_state`: whatever is said of states and attention, for the counts beside these choices."""
    run = card.run
    if not any_state and query.states and run.state not in query.states:
        return False
    if not any_state and query.attention and not card.why:
        return False
    exact = ((query.suite, run.suite), (query.agent, run.agent), (query.model, run.model))
    if any(wanted and wanted != found for wanted, found in exact):
        return False
    if query.mine and card.actor != me:
        return False
    return not query.text or _contains(card, query.text.casefold())


def _contains(card: Card, text: str) -> bool:
    run = card.run
    if text.removeprefix("#") == str(run.id):
        return True
    return any(text in part.casefold() for part in (run.task_id, run.agent, run.model, run.suite, card.actor))


def counts(query: WallQuery, cards: Sequence[Card], *, me: str) -> tuple[Mapping[str, int], int]:
    """How many there would be in each state, and how many need attention, with the other choices as they are."""
    others = [card for card in cards if fits(query, card, me=me, any_state=True)]
    found = dict.fromkeys(STATES, 0)
    for card in others:
        found[card.run.state] += 1
    return found, sum(bool(card.why) for card in others)
