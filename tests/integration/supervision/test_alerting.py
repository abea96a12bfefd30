"""From a line to an alert to what the policy does."""

from __future__ import annotations

import asyncio
import math

from app.domain.alerts import Category, Severity
from app.domain.runs import EvaluationRequest, Outcome, Policy, RunState
from app.domain.stops import StopSource
from app.store import alerts, runs, stops
from sandbox_runner.driver import Stream, Usage
from sandbox_runner.fake_script import FakeKnobs
from sandbox_runner.spec import MIB
from tests.integration.supervision.conftest import House, OpenHouse, knobs

DANGEROUS = (
    (0.0, Stream.STDOUT, b"good morning\n"),
    (0.0, Stream.STDOUT, b"[tool] ls -l /var/run/docker.sock\n"),
)


def dangerous() -> FakeKnobs:
    return knobs(lines=DANGEROUS, run_for=math.inf)


async def submit(house: House, policy: Policy) -> int:
    evaluation = await house.supervisor.submit(EvaluationRequest(suite="tiny", policy=policy), actor="tester")
    (run,) = await runs.select(house.db, evaluation=evaluation.id)
    return run.id


async def test_an_alert_cites_its_line_and_a_notifying_policy_leaves_the_run_alone(open_house: OpenHouse) -> None:
    async with open_house(dangerous()) as house:
        run = await submit(house, Policy.NOTIFY)
        await house.until_true(lambda: _alerted(house, run))
        (alert, *_) = await alerts.select(house.db, run=run)

        assert alert.finding.category is Category.SYSTEM_ACCESS
        assert alert.finding.severity >= Severity.HIGH
        assert alert.finding.line == 2
        assert "docker.sock" in alert.finding.quote
        assert alert.action == "notified"
        assert (await runs.get(house.db, run)).state is RunState.RUNNING


async def test_a_stopping_policy_ends_the_run_and_the_receipt_names_the_rule_and_the_line(
    open_house: OpenHouse,
) -> None:
    async with open_house(dangerous()) as house:
        run = await submit(house, Policy.STOP)
        ended = await house.until_ended(run)

        assert ended.outcome is Outcome.STOPPED
        (receipt, *_) = await stops.of_run(house.db, run)
        assert receipt.reason.source is StopSource.RULE
        assert "line 2" in receipt.reason.text
        assert receipt.dead_ms is not None
        await house.until_true(lambda: _alerted(house, run))
        assert (await alerts.select(house.db, run=run))[0].action == "stopped"
        assert await house.driver.list_owned() == []


async def test_a_freezing_policy_stands_the_run_still_until_a_person_decides(open_house: OpenHouse) -> None:
    async with open_house(dangerous()) as house:
        run = await submit(house, Policy.FREEZE)
        await house.until(run, lambda found: found.state is RunState.FROZEN)
        await house.until_true(lambda: _alerted(house, run))

        assert (await alerts.select(house.db, run=run))[0].action == "froze"
        (sandbox,) = [box for box in house.driver.engine.sandboxes.values() if box.alive]
        assert sandbox.state.name == "FROZEN"


async def test_when_a_freeze_cannot_be_proven_the_alert_says_that_it_only_told(open_house: OpenHouse) -> None:
    async with open_house(knobs(lines=DANGEROUS, run_for=math.inf, freeze_error="a game of chances")) as house:
        run = await submit(house, Policy.FREEZE)
        await house.until_true(lambda: _alerted(house, run))

        assert (await alerts.select(house.db, run=run))[0].action == "notified"
        assert (await runs.get(house.db, run)).state is RunState.RUNNING


async def test_a_hundred_thousand_dangerous_lines_are_one_alert_and_delay_no_other_run(open_house: OpenHouse) -> None:
    flood = tuple((0.0, Stream.STDOUT, DANGEROUS[1][2] * 1000) for _ in range(100))
    async with open_house(knobs(lines=())) as house:
        house.driver.by_run["1"] = knobs(lines=flood)
        first = await submit(house, Policy.NOTIFY)
        second = await submit(house, Policy.NOTIFY)
        assert (await house.until_ended(second)).outcome is Outcome.SUCCEEDED
        ended = await house.until_ended(first, within=60)

        assert ended.lines == 100_000
        rules = [alert.finding.rule for alert in await alerts.select(house.db, run=first)]
        assert len(rules) == len(set(rules))


async def test_memory_near_its_limit_is_an_alert_without_a_line(open_house: OpenHouse) -> None:
    def greedy(seconds: float) -> Usage:
        return Usage(at=0.0, cpu_seconds=seconds, memory_bytes=500 * MIB, pids=3)

    async with open_house(knobs(run_for=math.inf, usage=greedy)) as house:
        run = await submit(house, Policy.NOTIFY)
        await house.until_true(lambda: _alerted(house, run), within=30)
        (alert,) = await alerts.select(house.db, run=run)

        assert alert.finding.category is Category.RESOURCE_ABUSE
        assert alert.finding.line is None


async def _alerted(house: House, run: int) -> bool:
    await asyncio.sleep(0)
    return bool(await alerts.select(house.db, run=run))
