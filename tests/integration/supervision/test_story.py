"""A run from the queue to its score, and the ways it can end by itself."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator

from app.domain.events import (
    LimitReached,
    OperationEnded,
    OutOfMemory,
    OutputCounted,
    OutputLost,
    PhaseEntered,
    SandboxRemoved,
    SandboxStarted,
)
from app.domain.runs import Outcome, Phase, RunState
from app.domain.scores import ScoreStatus
from app.domain.stops import StopKind, StopReason, StopSource
from app.store import events, output, usage
from sandbox_runner.driver import Stream, Usage
from sandbox_runner.fake_script import FakeJob
from tests.integration.supervision.conftest import RESULTS, OpenHouse, knobs


async def test_a_run_goes_from_the_queue_to_a_score_and_leaves_nothing(open_house: OpenHouse) -> None:
    async with open_house(knobs(lines=((0.0, Stream.STDOUT, b"hello\nworld\n"),))) as house:
        (run,) = await house.submit()
        ended = await house.until_ended(run.id)

        assert ended.outcome is Outcome.SUCCEEDED
        assert ended.score is not None
        assert (ended.score.status, ended.score.value) == (ScoreStatus.SCORED, 1.0)
        assert ended.instructions == "do it"
        assert await house.driver.list_owned() == []
        assert not [name for name in house.driver.engine.images if name.startswith("crucible-run/")]
        lines = await output.read(house.db, run.id, after=0)
        assert [(line.number, line.data) for line in lines] == [(1, b"hello"), (2, b"world")]
        told = [each.event for each in await events.read(house.db, run.id)]
        phases = [event.phase for event in told if isinstance(event, PhaseEntered)]
        assert phases == ["build", "setup", "agent", "scoring", "teardown"]
        roles = [event.role for event in told if isinstance(event, SandboxStarted)]
        assert roles == ["build", "setup", "agent", "scoring"]
        assert [event.role for event in told if isinstance(event, SandboxRemoved)] == roles


async def test_the_second_run_of_a_family_uses_the_image_of_the_first(open_house: OpenHouse) -> None:
    async with open_house(knobs(lines=())) as house:
        for run in await house.submit(epochs=2):
            await house.until_ended(run.id)

        installs = [job for _, job in house.driver.engine.ran if job.name == "install"]
        assert len(installs) == 1


async def test_an_agent_that_fails_is_a_failed_run_and_is_scored(open_house: OpenHouse) -> None:
    async with open_house(knobs(lines=(), exit_code=3)) as house:
        (run,) = await house.submit()
        ended = await house.until_ended(run.id)

        assert ended.outcome is Outcome.FAILED
        assert "exit code 3" in ended.detail
        assert ended.score is not None


async def test_the_wall_clock_limit_ends_a_run_and_names_itself(open_house: OpenHouse) -> None:
    async with open_house(knobs(run_for=math.inf)) as house:
        (run,) = await house.submit(wall_seconds=1)
        ended = await house.until_ended(run.id)

        assert ended.outcome is Outcome.LIMIT_EXCEEDED
        assert ended.detail.startswith("wall_seconds")
        assert ended.score is not None
        assert ended.score.status is ScoreStatus.NOT_SCORED
        told = [each.event for each in await events.read(house.db, run.id)]
        assert [event.limit for event in told if isinstance(event, LimitReached)] == ["wall_seconds"]
        assert await house.driver.list_owned() == []


async def test_what_the_keeper_says_was_printed_is_held_against_what_is_stored(open_house: OpenHouse) -> None:
    lines = [(0.0, Stream.STDOUT, b"line %d\n" % n) for n in range(30)]
    some = (*lines, (0.0, Stream.STDERR, b"no end"))
    async with open_house(knobs(lines=some)) as house:
        (run,) = await house.submit()
        ended = await house.until_ended(run.id)

        told = [each.event for each in await events.read(house.db, run.id)]
        assert [event for event in told if isinstance(event, OutputCounted)][-1] == OutputCounted(
            printed=sum(len(data) for _, _, data in some), stored=ended.bytes
        )
        assert not [event for event in told if isinstance(event, OutputLost)]
        assert house.supervisor.account(run.id) is None


async def test_what_was_printed_and_is_not_stored_is_known_while_it_waits(open_house: OpenHouse) -> None:
    held = ((0.0, Stream.STDOUT, b"here\n"), (0.0, Stream.STDOUT, b"wait" * 25))
    async with open_house(knobs(lines=held, run_for=math.inf)) as house:
        (run,) = await house.submit()
        stored = await house.until(run.id, lambda found: found.bytes > 100)
        account = house.supervisor.account(run.id)
        assert account is not None
        assert (account.printed, account.cut, account.connected) == (stored.bytes, 0, True)
        assert account.printed_at > 0
        await house.supervisor.stop(
            run.id, kind=StopKind.STOP, reason=StopReason(source=StopSource.OPERATOR, actor="tester"), wait=True
        )


async def test_an_agent_that_prints_too_much_is_ended_and_what_it_printed_before_is_kept(
    open_house: OpenHouse,
) -> None:
    flood = tuple((0.0, Stream.STDOUT, b"x" * 999 + b"\n") for _ in range(50))
    async with open_house(knobs(lines=flood, run_for=math.inf)) as house:
        (run,) = await house.submit(output_bytes=10_000)
        ended = await house.until_ended(run.id)

        assert ended.outcome is Outcome.LIMIT_EXCEEDED
        assert ended.detail.startswith("output_bytes")
        assert 0 < ended.bytes <= 10_000
        assert len(await output.read(house.db, run.id, after=0)) == ended.lines


async def test_a_task_whose_start_fails_ends_broken_with_the_reason_and_the_next_run_goes_on(
    open_house: OpenHouse,
) -> None:
    failing = dict(RESULTS) | {"start": b'{"failed": "ValueError: no assets"}'}
    async with open_house(knobs(results=failing, job_codes={"start": 1})) as house:
        (run,) = await house.submit()
        ended = await house.until_ended(run.id)

        assert ended.outcome is Outcome.BROKEN
        assert "no assets" in ended.detail
        house.driver.knobs = knobs(lines=())
        (after,) = await house.submit()
        assert (await house.until_ended(after.id)).outcome is Outcome.SUCCEEDED


async def test_a_family_whose_image_cannot_be_made_breaks_its_runs_with_the_reason_and_no_others(
    open_house: OpenHouse,
) -> None:
    failing = dict(RESULTS) | {"install": b'{"failed": "OSError: no such package"}'}
    async with open_house(knobs(lines=())) as house:
        house.driver.by_run["1"] = knobs(results=failing, job_codes={"install": 1})
        first, second = await house.submit(epochs=2)

        broken = await house.until_ended(first.id)
        assert broken.outcome is Outcome.BROKEN
        assert "no such package" in broken.detail
        assert (await house.until_ended(second.id)).outcome is Outcome.SUCCEEDED
        assert await house.driver.list_owned() == []


async def test_a_container_that_cannot_be_started_ends_the_run_broken_with_the_engine_s_words(
    open_house: OpenHouse,
) -> None:
    async with open_house(knobs(start_error="no space left on device")) as house:
        (run,) = await house.submit()
        ended = await house.until_ended(run.id)

        assert ended.outcome is Outcome.BROKEN
        assert "no space left on device" in ended.detail


async def test_a_scorer_that_raises_is_a_failed_score_never_zero(open_house: OpenHouse) -> None:
    failing = dict(RESULTS) | {"score": b'{"failed": "ZeroDivisionError"}'}
    async with open_house(knobs(results=failing, lines=())) as house:
        (run,) = await house.submit()
        ended = await house.until_ended(run.id)

        assert ended.outcome is Outcome.SUCCEEDED
        assert ended.score is not None
        assert (ended.score.status, ended.score.value) == (ScoreStatus.FAILED, None)


async def test_no_more_runs_than_slots_are_under_way(open_house: OpenHouse) -> None:
    async with open_house(knobs(run_for=0.5), slots=2) as house:
        submitted = await house.submit(epochs=4)
        most = 0
        for run in submitted:
            await house.until(run.id, lambda found: found.phase is Phase.AGENT)
            most = max(most, len({box.run for box in await house.driver.list_owned()}))
        for run in submitted:
            await house.until_ended(run.id)

        assert 1 <= most <= 2


async def test_a_relay_that_breaks_is_opened_again_and_no_byte_is_lost_or_doubled(open_house: OpenHouse) -> None:
    lines = tuple((0.0, Stream.STDOUT, b"line %d\n" % number) for number in range(2000))
    async with open_house(knobs(lines=lines, lose_stream=5000)) as house:
        (run,) = await house.submit()
        ended = await house.until_ended(run.id)

        assert ended.outcome is Outcome.SUCCEEDED
        stored = await output.read(house.db, run.id, after=0, limit=10_000)
        assert b"".join(line.data + b"\n" for line in stored) == b"".join(data for _, _, data in lines)


async def test_usage_is_stored_a_point_a_second(open_house: OpenHouse) -> None:
    async with open_house(knobs(run_for=2.5)) as house:
        (run,) = await house.submit()
        await house.until_ended(run.id)

        points = await usage.read(house.db, run.id)
        assert [point.seq for point in points] == list(range(1, len(points) + 1))
        assert len(points) >= 1
        assert all(0.1 < point.cpu_mean < 0.3 for point in points)


async def test_runs_wait_while_the_engine_is_away_and_start_when_it_returns(open_house: OpenHouse) -> None:
    async with open_house(knobs(lines=())) as house:
        await house.until_true(_reachable(house))
        house.driver.engine_down = True
        house.supervisor._watch.look_now()
        await house.until_true(_unreachable(house))
        (run,) = await house.submit()
        await asyncio.sleep(0.3)
        assert (await house.until(run.id, lambda _: True)).state is RunState.QUEUED

        house.driver.engine_down = False
        assert (await house.until_ended(run.id)).outcome is Outcome.SUCCEEDED


def _reachable(house: object):  # type: ignore[no-untyped-def]
    async def ask() -> bool:
        return bool(house.supervisor.engine.reachable)  # type: ignore[attr-defined]

    return ask


def _unreachable(house: object):  # type: ignore[no-untyped-def]
    async def ask() -> bool:
        return not house.supervisor.engine.reachable  # type: ignore[attr-defined]

    return ask


async def test_an_operation_that_never_ends_is_cut_by_its_time_limit(open_house: OpenHouse) -> None:
    endless = {"setup": FakeJob(run_for=math.inf)}
    async with open_house(knobs(jobs=endless), operation_seconds=0.3) as house:
        (run,) = await house.submit()
        ended = await house.until_ended(run.id)

        assert ended.outcome is Outcome.BROKEN
        assert "longer than" in ended.detail
        told = [each.event for each in await events.read(house.db, run.id)]
        assert "setup" not in [event.name for event in told if isinstance(event, OperationEnded)]


class KilledForMemory:
    """An agent whose last word is followed by the kernel's."""

    def __init__(self) -> None:
        self.kills = 0

    def __iter__(self) -> Iterator[tuple[float, Stream, bytes]]:
        yield 0.3, Stream.STDOUT, b"more\n"
        self.kills = 1

    def usage(self, seconds: float) -> Usage:
        return Usage(at=0.0, cpu_seconds=seconds, memory_bytes=1, pids=2, out_of_memory_kills=self.kills)


async def test_an_agent_the_kernel_ends_for_memory_at_once_has_reached_its_limit(open_house: OpenHouse) -> None:
    agent = KilledForMemory()
    async with open_house(knobs(lines=agent, usage=agent.usage, exit_code=137)) as house:
        (run,) = await house.submit()
        ended = await house.until_ended(run.id)

        assert ended.outcome is Outcome.LIMIT_EXCEEDED
        assert "memory_bytes" in ended.detail
        told = [each.event for each in await events.read(house.db, run.id)]
        assert OutOfMemory(kills=1) in told
