"""A kill waits for nothing that is not the kill: each thing that stands beside it is made to hang or to fail."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import math
import time
from types import ModuleType

import pytest

from app.domain.alerts import Severity
from app.domain.errors import NotFound
from app.domain.runs import Outcome, RunState
from app.domain.stops import StopKind, StopReason, StopSource
from app.store import alerts, audit, evidence, runs, stops
from app.supervision.warden_link import Ordered
from sandbox_runner.driver import ASKED, Sandbox, SandboxError, Stream, Told
from sandbox_runner.fake_driver import FakeDriver
from sandbox_runner.kill import EMPTY, GONE
from sandbox_runner.warden_journal import Journal
from tests.integration.supervision.conftest import House, OpenHouse, knobs

REASON = StopReason(source=StopSource.OPERATOR, actor="tester", text="enough", path="test")
ENDLESS = knobs(lines=((0.0, Stream.STDOUT, b"at work\n"),), run_for=math.inf)


async def at_work(house: House, *submitted: int) -> None:
    for run in submitted:
        await house.until(run, lambda found: found.lines >= 1)


async def nothing_left(house: House) -> bool:
    return await house.driver.list_owned() == []


async def test_a_database_that_nobody_can_write_to_holds_up_no_kill(open_house: OpenHouse) -> None:
    async with open_house(ENDLESS) as house:
        (run,) = await house.submit()
        await at_work(house, run.id)

        async with house.db.writing():
            receipt = await house.supervisor.stop(run.id, kind=StopKind.STOP, reason=REASON, wait=True)
            assert await nothing_left(house)
            assert receipt.dead_ms is not None
            assert receipt.id == 0, "nothing could be recorded yet, and the answer says so"

        assert (await house.until_ended(run.id)).outcome is Outcome.STOPPED
        (stored,) = await stops.of_run(house.db, run.id)
        assert stored.dead_ms == receipt.dead_ms


async def test_stop_all_kills_while_nobody_can_write(open_house: OpenHouse) -> None:
    async with open_house(ENDLESS) as house:
        submitted = await house.submit(epochs=2)
        await at_work(house, *(run.id for run in submitted))

        async with house.db.writing():
            stopping = asyncio.create_task(house.supervisor.stop_all(reason=REASON))
            await house.until_true(lambda: nothing_left(house))
            assert not stopping.done(), "the hold and the receipts are still to be written"

        assert len(await stopping) == 2


@pytest.mark.parametrize(("record", "write"), [(stops, "record"), (evidence, "seal")])
async def test_what_can_never_be_recorded_holds_up_no_kill(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch, record: ModuleType, write: str
) -> None:
    async with open_house(ENDLESS) as house:
        (run,) = await house.submit()
        await at_work(house, run.id)

        async def refuse(*_: object, **__: object) -> object:
            raise NotFound("the row of this run was lost")

        monkeypatch.setattr(record, write, refuse)
        receipt = await house.supervisor.stop(run.id, kind=StopKind.STOP, reason=REASON, wait=True)

        assert receipt.dead_ms is not None
        assert await nothing_left(house)
        assert (await house.until_ended(run.id)).outcome is Outcome.STOPPED


async def test_an_audit_that_hangs_holds_up_no_kill(open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_house(ENDLESS) as house:
        (run,) = await house.submit()
        await at_work(house, run.id)
        let_go = asyncio.Event()
        append = audit.append

        async def hang(*details: object, **named: object) -> object:
            await let_go.wait()
            return await append(*details, **named)  # type: ignore[arg-type]

        monkeypatch.setattr(audit, "append", hang)
        receipt = await house.supervisor.stop(run.id, kind=StopKind.STOP, reason=REASON, wait=True)

        assert receipt.dead_ms is not None
        assert (await house.until_ended(run.id)).outcome is Outcome.STOPPED
        let_go.set()

        async def told() -> bool:
            return any(entry.action == "run.stop" for entry in await audit.read(house.db))

        await house.until_true(told)


class Stubborn(FakeDriver):
    """Its kills of one run do what they are told to before they kill."""

    hanging = ""  #: run whose kills hang
    failing = 0  #: kills that fail in a way nobody foresaw

    async def kill(self, sandbox: Sandbox, *, told: Told | None = None) -> None:
        if sandbox.run == self.hanging:
            await asyncio.Event().wait()
        if self.failing:
            self.failing -= 1
            raise RuntimeError("nobody thought of this")
        await super().kill(sandbox, told=told)


def stubborn(house: House) -> Stubborn:
    """The house's driver, made stubborn from now on."""
    house.driver.__class__ = Stubborn
    assert isinstance(house.driver, Stubborn)
    return house.driver


async def test_a_kill_that_hangs_holds_up_no_other_runs_kill(open_house: OpenHouse) -> None:
    async with open_house(ENDLESS) as house:
        first, second = await house.submit(epochs=2)
        await at_work(house, first.id, second.id)
        driver = stubborn(house)
        driver.hanging = str(first.id)

        stopping = asyncio.create_task(house.supervisor.stop_all(reason=REASON))
        assert (await house.until_ended(second.id)).outcome is Outcome.EMERGENCY_STOPPED
        assert {box.run for box in await driver.list_owned()} == {str(first.id)}
        await stopping

        driver.hanging = ""
        assert (await house.until_ended(first.id)).outcome is Outcome.EMERGENCY_STOPPED


async def test_a_kill_that_fails_in_a_way_nobody_foresaw_is_begun_anew(open_house: OpenHouse) -> None:
    async with open_house(ENDLESS) as house:
        (run,) = await house.submit()
        await at_work(house, run.id)
        stubborn(house).failing = 2

        receipt = await house.supervisor.stop(run.id, kind=StopKind.STOP, reason=REASON, wait=True)

        assert receipt.dead_ms is not None
        assert await nothing_left(house)


async def test_a_stop_that_is_not_proven_is_a_containment_failure_told_to_everybody(open_house: OpenHouse) -> None:
    stuck = knobs(lines=((0.0, Stream.STDOUT, b"at work\n"),), run_for=math.inf, ignore_kill=2)
    async with open_house(knobs(lines=())) as house:
        house.driver.by_run["1"] = stuck
        house.supervisor._lane.alarm_seconds = 0.05
        (run,) = await house.submit()
        await house.until(run.id, lambda found: found.state is RunState.RUNNING and found.lines >= 1, within=30)

        stopping = asyncio.create_task(house.supervisor.stop(run.id, kind=StopKind.STOP, reason=REASON, wait=True))

        async def failed() -> bool:
            found = await stops.of_run(house.db, run.id)
            return bool(found) and found[0].failure.startswith("STOP FAILED")

        await house.until_true(failed)
        (receipt,) = await stops.of_run(house.db, run.id)
        assert "docker rm -f" in receipt.failure
        assert receipt.dead_ms is None
        (alert,) = await alerts.select(house.db, run=run.id)
        assert alert.finding.rule == "containment-failure"
        assert alert.finding.severity is Severity.CRITICAL

        await stopping
        (receipt,) = await stops.of_run(house.db, run.id)
        assert receipt.failure == ""
        assert receipt.dead_ms is not None


async def test_an_engine_that_is_slow_to_remove_what_is_dead_is_no_containment_failure(open_house: OpenHouse) -> None:
    slow = knobs(lines=((0.0, Stream.STDOUT, b"at work\n"),), run_for=math.inf, ignore_remove=10)
    async with open_house(knobs(lines=())) as house:
        house.driver.by_run["1"] = slow
        house.supervisor._lane.alarm_seconds = 0.05
        (run,) = await house.submit()
        await house.until(run.id, lambda found: found.state is RunState.RUNNING and found.lines >= 1, within=60)

        await house.supervisor.stop(run.id, kind=StopKind.STOP, reason=REASON, wait=True)

        (alert,) = await alerts.select(house.db, run=run.id)
        assert alert.finding.rule == "stop-not-complete"
        assert alert.finding.severity is Severity.HIGH
        assert "the kernel has no process of it any more" in alert.finding.response


async def test_every_step_is_in_the_receipt_in_order_of_time(open_house: OpenHouse) -> None:
    async with open_house(ENDLESS) as house:
        (run,) = await house.submit()
        await at_work(house, run.id)

        await house.supervisor.stop(run.id, kind=StopKind.STOP, reason=REASON, wait=True)

        (receipt,) = await stops.of_run(house.db, run.id)
        names = [step.name for step in receipt.steps]
        assert [name for name in names if name in {ASKED, EMPTY, GONE}] == [ASKED, EMPTY, GONE]
        times = [step.ms for step in receipt.steps]
        assert times == sorted(times)
        assert receipt.acted_ms == next(step.ms for step in receipt.steps if step.name == ASKED)
        assert receipt.dead_ms is not None
        assert times[-1] <= receipt.dead_ms


async def test_an_engine_that_is_away_is_asked_again_until_the_run_is_dead(open_house: OpenHouse) -> None:
    async with open_house(ENDLESS) as house:
        (run,) = await house.submit()
        await at_work(house, run.id)
        house.driver.engine_down = True
        with pytest.raises(SandboxError):
            await house.driver.ready()

        stopping = asyncio.create_task(house.supervisor.stop(run.id, kind=StopKind.STOP, reason=REASON, wait=True))
        await asyncio.wait({stopping}, timeout=0.1)
        assert not stopping.done(), "nothing is said to be dead that nobody could look at"
        house.driver.engine_down = False

        assert (await stopping).dead_ms is not None


async def test_an_evaluation_is_stopped_with_what_waits_of_it_and_nothing_else(open_house: OpenHouse) -> None:
    async with open_house(ENDLESS, slots=3) as house:
        condemned = await house.submit(epochs=2)
        (other,) = await house.submit()
        queued = await house.submit(epochs=1)
        await at_work(house, *(run.id for run in condemned), other.id)
        more = await house.submit(epochs=2)

        receipts = await house.supervisor.stop_evaluation(
            condemned[0].evaluation, kind=StopKind.EMERGENCY, reason=REASON, wait=True
        )
        waiting = await house.supervisor.stop_evaluation(
            more[0].evaluation, kind=StopKind.EMERGENCY, reason=REASON, wait=True
        )

        assert {receipt.run for receipt in receipts} == {run.id for run in condemned}
        assert all(receipt.dead_ms is not None for receipt in receipts + waiting)
        for run in condemned:
            assert (await house.until_ended(run.id)).outcome is Outcome.EMERGENCY_STOPPED
        assert (await runs.get(house.db, other.id)).state is RunState.RUNNING
        await at_work(house, queued[0].id)  # the queue goes on: only STOP ALL holds it
        with pytest.raises(NotFound):
            await house.supervisor.stop_evaluation(9999, kind=StopKind.STOP, reason=REASON)


async def test_evidence_is_sealed_with_its_digest_in_the_audit_log(open_house: OpenHouse) -> None:
    async with open_house(ENDLESS) as house:
        (run,) = await house.submit()
        await at_work(house, run.id)
        receipt = await house.supervisor.stop(run.id, kind=StopKind.STOP, reason=REASON, wait=True)

        async def sealed() -> bool:
            return bool(await evidence.of_run(house.db, run.id))

        await house.until_true(sealed)
        (found,) = await evidence.of_run(house.db, run.id)
        assert found.receipt == receipt.id
        assert hashlib.sha256(found.data.encode()).hexdigest() == found.sha256
        data = json.loads(found.data)
        assert base64.b64decode(data["last_output"][-1]["base64"]) == b"at work"
        (seen,) = data["witnessed_before_the_kill"].values()
        assert seen["processes"], "they were looked at before they were killed"
        assert data["policy"] == run.policy.value
        assert all(box["image_digest"] for box in data["sandboxes"] if box["role"] == "build")
        assert any(found.sha256 in entry.detail for entry in await audit.read(house.db))


@pytest.mark.parametrize("by_the_warden", [True, False])
async def test_marks_are_those_of_the_warden_where_it_ended_what_a_hanging_server_could_not(
    open_house: OpenHouse, by_the_warden: bool
) -> None:
    async with open_house(ENDLESS) as house:
        (run,) = await house.submit()
        await at_work(house, run.id)
        (box,) = await house.driver.list_owned()
        asked = {"do": "stop", "what": "run", "number": run.id, "actor": "ada", "text": "odd", "path": "cli"}
        journal, received = Journal(house.settings.data), time.monotonic() - 5.0
        journal.ordered("first", received, asked)
        told = {"id": box.id if by_the_warden else "f" * 64, "run": str(run.id), "role": box.role}
        journal.ended("first", {**told, "steps": [(ASKED, 1.5), (EMPTY, 2.5), (GONE, 7.5)], "gone_ms": 8.5})
        house.supervisor._orders.taken(Ordered(**asked, ago=5.0, order="first"))  # type: ignore[arg-type]

        assert (await house.until_ended(run.id)).outcome is Outcome.STOPPED
        (receipt,) = await stops.of_run(house.db, run.id)
        assert receipt.reason.actor == "ada"
        assert receipt.acted_ms is not None
        assert receipt.dead_ms is not None
        if by_the_warden:
            assert (receipt.acted_ms, receipt.dead_ms) == (1.5, 8.5)
            assert [(step.name, step.ms) for step in receipt.steps] == [(ASKED, 1.5), (EMPTY, 2.5), (GONE, 7.5)]
        else:
            assert receipt.dead_ms > receipt.acted_ms >= 5000, "what the warden ended was not all of it"
