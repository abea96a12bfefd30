"""Who has which run open now. In memory: it is true as long as the streams are, and a restart begins anew.

Each stream of a signed-in browser says which runs its visible pages show. A page in the background counts for nobody:
who does not see a run does not watch it. Two pages of one session are one watcher; programs are none.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from app.supervision.doorbell import Doorbell
from app.web.parts import WatcherView
from app.web.text import visible

#: Runs of one stream; more pages than this are not looked at by one person.
MOST_SEEN = 100


@dataclass(slots=True, kw_only=True)
class _Watch:
    session: str
    name: str
    runs: frozenset[int]


class Presence:
    """A change rings the runs it concerns: their readers are told as of any other news."""

    def __init__(self, doorbell: Doorbell) -> None:
        self._doorbell = doorbell
        self._watches: dict[str, _Watch] = {}
        self._of_run: dict[int, set[str]] = {}

    @contextmanager
    def watch(self, *, session: str, name: str, runs: Collection[int]) -> Iterator[str]:
        """As long as a stream is open; yields the stream's key, by which `see` changes what is seen."""
        key = secrets.token_urlsafe(16)
        self._watches[key] = _Watch(session=session, name=name, runs=frozenset())
        try:
            self._set(key, runs)
            yield key
        finally:
            self._set(key, ())
            del self._watches[key]

    def see(self, key: str, runs: Collection[int], *, session: str) -> bool:
        """The visible pages of a stream changed. False when this session has no such stream."""
        watch = self._watches.get(key)
        if watch is None or not secrets.compare_digest(watch.session.encode(), session.encode()):
            return False
        self._set(key, runs)
        return True

    def of(self, run: int) -> tuple[WatcherView, ...]:
        """Who watches the run, by name, with the number of their browsers."""
        people = {(self._watches[key].name, self._watches[key].session) for key in self._of_run.get(run, ())}
        found = Counter(name for name, _ in people)
        return tuple(WatcherView(name=visible(name), sessions=found[name]) for name in sorted(found))

    def _set(self, key: str, runs: Collection[int]) -> None:
        watch = self._watches[key]
        before, watch.runs = watch.runs, frozenset(sorted(runs)[:MOST_SEEN])
        for run in before - watch.runs:
            self._of_run[run].discard(key)
            if not self._of_run[run]:
                del self._of_run[run]
        for run in watch.runs - before:
            self._of_run.setdefault(run, set()).add(key)
        for run in before ^ watch.runs:
            self._doorbell.ring(run)
