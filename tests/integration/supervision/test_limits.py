"""A limit that is reached ends a run from outside; what was left is scored where the task wants it."""

from __future__ import annotations

import io
import math
import tarfile

import pytest

from app.domain.events import LimitReached, Noted, PhaseEntered
from app.domain.runs import Outcome
from app.domain.scores import ScoreStatus
from app.settings import Settings
from app.store import events
from app.store import usage as usage_points
from app.supervision.usage_watch import UNSEEN
from sandbox_runner.driver import Stream, Usage
from sandbox_runner.fake_script import FakeJob
from sandbox_runner.spec import MIB
from tests.integration.supervision.conftest import RESULTS, OpenHouse, knobs

MANIFEST = "tasks:\n  one:\n    scoring: {score_on_usage_limits: %s}\n"


def submission(text: bytes) -> bytes:
    """What collecting brings: a home with an answer in it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("submission.txt")
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text))
    return buffer.getvalue()


def busy(seconds: float) -> Usage:
    return Usage(at=0.0, cpu_seconds=seconds, memory_bytes=1, pids=1, memory_peak_bytes=1)


def asleep(_seconds: float) -> Usage:
    """What its keeper alone uses would be more."""
    return Usage(at=0.0, cpu_seconds=0.2, memory_bytes=1, pids=1, memory_peak_bytes=1)


def home(used: int | None) -> Usage:
    return Usage(at=0.0, cpu_seconds=0.2, memory_bytes=1, pids=1, memory_peak_bytes=1, disk_used_bytes=used)


def full(_seconds: float) -> Usage:
    return home(MIB)


@pytest.mark.parametrize(
    ("limits", "usage"),
    [
        ({"wall_seconds": 1}, busy),
        ({"cpu_seconds": 1}, busy),
        ({"idle_seconds": 1}, asleep),
        ({"disk_bytes": MIB}, full),
    ],
    ids=["wall", "cpu", "idle", "disk"],
)
async def test_at_a_limit_the_agent_is_killed_and_scored_where_its_task_wants_that(
    settings: Settings, open_house: OpenHouse, limits: dict[str, object], usage: object
) -> None:
    (settings.suites / "families/tiny/manifest.yaml").write_text(MANIFEST % "true")
    results = {**RESULTS, "collect": submission(b"half an answer")}
    async with open_house(knobs(lines=(), run_for=math.inf, usage=usage, results=results)) as house:
        (run,) = await house.submit(**limits)
        ended = await house.until_ended(run.id)

        assert ended.outcome is Outcome.LIMIT_EXCEEDED
        assert ended.submission == "half an answer"
        assert ended.score is not None
        assert ended.score.status is ScoreStatus.SCORED
        told = [each.event for each in await events.read(house.db, run.id)]
        assert [event.limit for event in told if isinstance(event, LimitReached)] == list(limits)
        assert "scoring" in [event.phase for event in told if isinstance(event, PhaseEntered)]


async def test_what_prints_too_much_is_scored_too_and_not_a_byte_beyond_its_limit_is_stored(
    settings: Settings, open_house: OpenHouse
) -> None:
    (settings.suites / "families/tiny/manifest.yaml").write_text(MANIFEST % "true")
    lines = [(0.0, Stream.STDOUT, b"x" * 1000 + b"\n")] * 3000
    async with open_house(knobs(lines=lines, run_for=math.inf)) as house:
        (run,) = await house.submit(output_bytes=100_000)
        ended = await house.until_ended(run.id)

        assert ended.outcome is Outcome.LIMIT_EXCEEDED
        assert ended.bytes <= 100_000
        assert ended.score is not None
        assert ended.score.status is ScoreStatus.SCORED


async def test_a_task_that_does_not_ask_for_it_is_not_scored_at_a_limit(
    settings: Settings, open_house: OpenHouse
) -> None:
    (settings.suites / "families/tiny/manifest.yaml").write_text(MANIFEST % "false")
    async with open_house(knobs(lines=(), run_for=math.inf)) as house:
        (run,) = await house.submit(wall_seconds=1)
        ended = await house.until_ended(run.id)

        assert ended.score is not None
        assert ended.score.status is ScoreStatus.NOT_SCORED
        assert ended.submission is None


async def test_a_limit_is_still_the_cause_when_what_was_left_cannot_be_collected(
    settings: Settings, open_house: OpenHouse
) -> None:
    (settings.suites / "families/tiny/manifest.yaml").write_text(MANIFEST % "true")
    stuck = {"collect": FakeJob(run_for=math.inf)}
    async with open_house(knobs(lines=(), run_for=math.inf, jobs=stuck), operation_seconds=1.0) as house:
        (run,) = await house.submit(wall_seconds=1)
        ended = await house.until_ended(run.id)

        assert ended.outcome is Outcome.LIMIT_EXCEEDED
        assert ended.score is not None
        assert ended.score.status is ScoreStatus.NOT_SCORED


async def test_who_prints_now_and_then_is_not_idle(open_house: OpenHouse) -> None:
    lines = [(0.6, Stream.STDOUT, b"still here\n")] * 5
    async with open_house(knobs(lines=lines, usage=asleep)) as house:
        (run,) = await house.submit(idle_seconds=2)
        ended = await house.until_ended(run.id)

        assert ended.outcome is Outcome.SUCCEEDED


async def test_a_full_home_that_ended_a_run_is_told_in_the_units_of_people(open_house: OpenHouse) -> None:
    async with open_house(knobs(lines=(), run_for=math.inf, usage=full)) as house:
        (run,) = await house.submit(disk_bytes=MIB)
        ended = await house.until_ended(run.id)

        assert (ended.outcome, ended.detail) == (Outcome.LIMIT_EXCEEDED, "disk_bytes: its home was full (1 MiB)")
        (reached,) = [each.event for each in await events.read(house.db, run.id) if type(each.event) is LimitReached]
        assert (reached.used, reached.allowed) == (MIB, MIB)
        peak = await usage_points.peak(house.db, run.id)
        assert peak is not None
        assert peak.disk_used_bytes == MIB


async def test_who_fills_its_home_and_makes_room_again_goes_on(open_house: OpenHouse) -> None:
    def in_and_out(seconds: float) -> Usage:
        return home(MIB if seconds % 2 < 1 else 0)

    async with open_house(knobs(lines=(), run_for=5.0, usage=in_and_out)) as house:
        (run,) = await house.submit(disk_bytes=MIB)

        assert (await house.until_ended(run.id)).outcome is Outcome.SUCCEEDED


async def test_who_fails_for_its_full_home_ends_by_itself_and_the_record_says_why(open_house: OpenHouse) -> None:
    async with open_house(knobs(exit_code=1, usage=full)) as house:
        (run,) = await house.submit(disk_bytes=MIB)
        ended = await house.until_ended(run.id)

        assert ended.outcome is Outcome.FAILED
        assert ended.detail == "the agent ended with exit code 1; disk_bytes: its home was full (1 MiB)"


async def test_a_home_that_cannot_be_seen_ends_nothing_and_the_record_says_so_once(open_house: OpenHouse) -> None:
    async with open_house(knobs(lines=(), run_for=3.0, usage=asleep)) as house:
        (run,) = await house.submit(disk_bytes=MIB)

        assert (await house.until_ended(run.id)).outcome is Outcome.SUCCEEDED
        told = [each.event for each in await events.read(house.db, run.id)]
        assert [event for event in told if isinstance(event, Noted) and "home" in event.text] == [UNSEEN]
