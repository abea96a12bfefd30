"""What a warden was asked and did, in a file of the data folder: for whoever was not there to hear it.

A line each: an order; who was seen in its sandboxes before the strike; each sandbox that was ended; the order's end.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sandbox_runner.driver import ASKED, STRUCK, Sandbox
from sandbox_runner.last_look import LastLook, Process

log = logging.getLogger(__name__)

NAME, OLDER = "warden.jsonl", "warden.jsonl.1"
#: Bytes after which the file is put aside; one older is kept.
MOST = 8 * 1024 * 1024

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A sandbox that a warden ended and proved gone. Steps and marks are milliseconds since the order was received."""

    sandbox: str
    run: str
    steps: tuple[tuple[str, float], ...]
    gone_ms: float

    @property
    def acted_ms(self) -> float | None:
        return next((ms for name, ms in self.steps if name in {STRUCK, ASKED}), None)


@dataclass(slots=True, kw_only=True)
class Entry:
    """An order and what came of it."""

    order: str
    do: str
    what: str  #: all, run, evaluation or silence
    number: int
    actor: str
    text: str
    path: str
    received_at: float  #: unix seconds
    seen: dict[str, dict[str, LastLook]] = field(default_factory=dict)  #: by run and sandbox, before the strike
    alive: set[str] = field(default_factory=set)  #: runs of which somebody was there to be struck, as far as is known
    dead: set[str] = field(default_factory=set)  #: runs with a sandbox in which nobody was left
    ended: list[Ended] = field(default_factory=list)

    def meant(self, run: int, evaluation: int) -> bool:
        """Whether it was to end this run, and found it alive as far as the warden could see."""
        if self.do != "stop" or str(run) in self.dead - self.alive:
            return False
        match self.what:
            case "run":
                return self.number == run
            case "evaluation":
                return self.number == evaluation
        return True


class Journal:
    """Written by one warden at a time. A line that cannot be written is said in the log, and holds up nothing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def ordered(self, order: str, received: float, said: Mapping[str, Any]) -> None:
        """`received` is monotonic."""
        received_at = round(time.time() - (time.monotonic() - received), 3)
        self._note({"order": order, "received_at": received_at, **said})

    def seen(self, order: str, looks: Mapping[str, tuple[Sandbox, LastLook]]) -> None:
        told = {name: {"run": box.run, **asdict(look)} for name, (box, look) in looks.items()}
        if told:
            self._note({"order": order, "seen": told})

    def ended(self, order: str, told: Mapping[str, Any]) -> None:
        self._note({"order": order, "ended": told})

    def done(self, order: str, told: Mapping[str, Any]) -> None:
        self._note({"order": order, "done": told})

    def _note(self, said: Json) -> None:
        line = json.dumps({"at": round(time.time(), 3), **said}).encode() + b"\n"
        try:
            self._make_room(len(line))
            descriptor = os.open(self._folder / NAME, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "ab") as file:
                file.write(line)
        except OSError as error:
            log.error("the journal could not be written: %s", error)

    def _make_room(self, size: int) -> None:
        with contextlib.suppress(FileNotFoundError):
            if (self._folder / NAME).stat().st_size + size > MOST:
                os.replace(self._folder / NAME, self._folder / OLDER)


def read(folder: Path) -> list[Entry]:
    """Every order that is known, oldest first. Lines that cannot be understood are passed over: a kill can cut one."""
    found: dict[str, Entry] = {}
    # A strike waits for no line: what came of an order can be told before the order.
    for said in sorted(_lines(folder), key=lambda said: "do" not in said):
        try:
            _take(found, said)
        except (KeyError, TypeError, ValueError):
            continue
    return list(found.values())


def entry_of(folder: Path, order: str) -> Entry | None:
    """What is known of one order."""
    return next((entry for entry in read(folder) if entry.order == order), None)


def seen_by(folder: Path, order: str, run: int) -> Mapping[str, LastLook]:
    """Who was in the sandboxes of `run` before `order` was carried out, by sandbox."""
    entry = entry_of(folder, order)
    return {} if entry is None else entry.seen.get(str(run), {})


def _lines(folder: Path) -> Iterator[Json]:
    for name in (OLDER, NAME):
        try:
            lines = (folder / name).read_bytes().splitlines()
        except OSError:
            continue
        for line in lines:
            with contextlib.suppress(ValueError):
                if isinstance(said := json.loads(line), dict):
                    yield said


def _take(found: dict[str, Entry], said: Json) -> None:
    if "do" in said:
        named = {name: said[name] for name in ("do", "what", "number", "actor", "text", "path", "received_at")}
        found[said["order"]] = Entry(order=said["order"], **named)
        return
    entry = found[said["order"]]
    for name, look in said.get("seen", {}).items():
        entry.seen.setdefault(look["run"], {})[name] = _look(look)
        empty = look["shown"] and not look["processes"] and not look["unseen"]
        (entry.dead if empty else entry.alive).add(look["run"])
    if (told := said.get("ended")) is not None and "error" not in told:
        steps = tuple((str(step), float(ms)) for step, ms in told["steps"])
        entry.ended.append(Ended(sandbox=told["id"], run=told["run"], steps=steps, gone_ms=float(told["gone_ms"])))


def _look(said: Json) -> LastLook:
    processes = tuple(Process(**each) for each in said["processes"])
    return LastLook(processes=processes, unseen=said["unseen"], took_ms=said["took_ms"], shown=said["shown"])
