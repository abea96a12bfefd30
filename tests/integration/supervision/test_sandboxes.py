"""What a run's sandboxes are: chosen, tried, compared, recorded; and refused when they are something else."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator

import pytest

from app.domain.alerts import Severity
from app.domain.errors import Refused
from app.domain.events import SandboxCrashed, SandboxRefused, SandboxStarted
from app.domain.runs import EvaluationRequest, Outcome, Policy, Run
from app.domain.sandboxes import AgentProfile, Runtime
from app.store import alerts, events, runs
from sandbox_runner.attestation import Difference
from sandbox_runner.fake_driver import FakeEngine
from sandbox_runner.fake_script import FakeKnobs
from sandbox_runner.runtime_probe import AGENT_CHECKS, ROOT_CHECKS
from tests.integration.supervision.conftest import RESULTS, SUITE, House, OpenHouse, knobs

PRIVILEGED = Difference(field="HostConfig.Privileged", wanted="False", got="True")
BAD_PROBE = json.dumps({**dict.fromkeys((*ROOT_CHECKS, *AGENT_CHECKS), ""), "shell": "OSError: Invalid argument"})


@pytest.fixture
async def engine() -> AsyncIterator[FakeEngine]:
    engine = FakeEngine(runtimes=("runc", "runsc"))
    yield engine
    await engine.close()


async def submit(house: House, runtime: Runtime | None = None, **changes: object) -> Run:
    request = EvaluationRequest(suite="tiny", runtime=runtime, **changes)  # type: ignore[arg-type]
    evaluation = await house.supervisor.submit(request, actor="tester")
    assert evaluation.runtime == runtime
    (run,) = await runs.select(house.db, evaluation=evaluation.id)
    return run


async def started(house: House, run: int) -> list[SandboxStarted]:
    told = [each.event for each in await events.read(house.db, run)]
    return [event for event in told if isinstance(event, SandboxStarted)]


async def test_a_run_records_what_its_agents_sandbox_was_proven_to_be(open_house: OpenHouse) -> None:
    async with open_house(knobs()) as house:
        run = await house.until_ended((await submit(house)).id)
        assert run.outcome is Outcome.SUCCEEDED
        facts = run.sandbox
        assert facts is not None
        assert (facts.profile, facts.isolation, facts.runtime) == ("strict", "T0.H1.N2", "runc")
        assert len(facts.policy_sha256) == 64
        assert facts.deadline > run.created_at
        told = await started(house, run.id)
        assert {each.role for each in told} == {"build", "setup", "agent", "scoring"}
        assert all(each.policy_sha256 and each.image_id for each in told)
        assert {each.policy_sha256 for each in told if each.role == "agent"} == {facts.policy_sha256}


@pytest.mark.parametrize("policy", list(Policy))
async def test_a_sandbox_that_is_not_what_was_asked_for_breaks_the_run_and_tells_people(
    open_house: OpenHouse, policy: Policy
) -> None:
    async with open_house(knobs(differences=(PRIVILEGED,))) as house:
        run = await house.until_ended((await submit(house, policy=policy)).id)
        assert run.outcome is Outcome.BROKEN
        assert "HostConfig.Privileged is True instead of False" in run.detail
        (alert,) = await alerts.select(house.db, run=run.id)
        assert alert.finding.severity is Severity.CRITICAL
        assert "HostConfig.Privileged" in alert.finding.quote
        assert alert.action == "refused"
        told = [each.event for each in await events.read(house.db, run.id)]
        assert SandboxRefused(role="build", differences=str(PRIVILEGED)) in told
        assert await house.driver.list_owned() == []


async def test_a_restarted_server_adopts_only_what_was_started(open_house: OpenHouse, engine: FakeEngine) -> None:
    endless = knobs(run_for=math.inf)
    async with open_house(endless, engine=engine, leave_running=True) as first:
        run = await submit(first)
        await first.until(run.id, lambda found: found.lines >= 1)
    async with open_house(endless, engine=engine, grace_seconds=99.0) as second:  # another command line of process 1
        ended = await second.until_ended(run.id)
        assert ended.outcome is Outcome.BROKEN
        assert "Config.Cmd" in ended.detail
        (alert,) = await alerts.select(second.db, run=run.id)
        assert alert.finding.severity is Severity.CRITICAL
        assert await second.driver.list_owned() == []


async def test_auto_means_gvisor_where_it_works(open_house: OpenHouse, engine: FakeEngine) -> None:
    async with open_house(knobs(), engine=engine) as house:
        run = await house.until_ended((await submit(house)).id)
        assert run.runtime is Runtime.AUTO
        assert run.sandbox is not None
        assert (run.sandbox.runtime, run.sandbox.isolation) == ("runsc", "T0.H2.N2")
        assert {each.runtime for each in await started(house, run.id)} == {"runsc"}
        host = await house.until_ended((await submit(house, Runtime.RUNC)).id)
        assert host.sandbox is not None
        assert host.sandbox.runtime == "runc"


async def test_gvisor_that_was_tried_and_does_not_work_is_refused_with_the_reason(
    open_house: OpenHouse, engine: FakeEngine
) -> None:
    bad = knobs(results={**RESULTS, "probe": BAD_PROBE.encode()})
    async with open_house(bad, engine=engine) as house:
        run = await house.until_ended((await submit(house)).id)
        assert run.sandbox is not None
        assert run.sandbox.runtime == "runc"
        with pytest.raises(Refused, match=r"does not work .setup: shell: OSError: Invalid argument"):
            await submit(house, Runtime.GVISOR)
        assert len(await runs.select(house.db)) == 1


async def test_an_engine_without_gvisor_says_so(open_house: OpenHouse) -> None:
    async with open_house(knobs()) as house:
        await house.until_ended((await submit(house)).id)
        with pytest.raises(Refused, match="not registered"):
            await submit(house, Runtime.GVISOR)


async def test_the_servers_own_runtime_counts_where_nobody_says(open_house: OpenHouse, engine: FakeEngine) -> None:
    async with open_house(knobs(), engine=engine, runtime=Runtime.RUNC) as house:
        run = await house.until_ended((await submit(house)).id)
        assert run.runtime is Runtime.RUNC
        again = await house.until_ended((await house.supervisor.again(run.id, actor="tester")).id)
        assert again.runtime is Runtime.RUNC


async def test_gvisor_is_tried_once_for_an_engine_and_again_for_the_next(
    open_house: OpenHouse, engine: FakeEngine
) -> None:
    def probes() -> int:
        return sum(job.name == "probe" for _, job in engine.ran)

    async with open_house(knobs(), engine=engine) as house:
        for _ in range(3):
            await house.until_ended((await submit(house)).id)
        assert probes() == 2  # root's part and the agent's
        engine.runtimes = ("runc", "runsc", "runsc-kvm")
        await house.until_true(lambda: _true(probes() == 4), within=20)


async def _true(answer: bool) -> bool:
    return answer


async def test_a_crash_of_the_sandbox_is_told_apart_from_the_agents_end(open_house: OpenHouse) -> None:
    falls = FakeKnobs(results=RESULTS, run_for=math.inf)
    async with open_house(falls) as house:
        run = await submit(house)
        await house.until(run.id, lambda found: found.lines >= 1)
        (box,) = [each for each in house.driver.engine.sandboxes.values() if each.alive]
        box.die(2, crashed=True)
        ended = await house.until_ended(run.id)
        assert ended.outcome is Outcome.BROKEN
        assert "sandbox crashed" in ended.detail
        told = [each.event for each in await events.read(house.db, run.id)]
        assert SandboxCrashed(role="agent", runtime="runc", code=2) in told


async def test_a_suite_can_let_an_agent_trace_and_nobody_else_can(open_house: OpenHouse) -> None:
    async with open_house(knobs()) as house:
        (house.settings.suites / "tiny.yaml").write_text(SUITE + "    profile: debug\n    runtime: runc\n")
        run = await house.until_ended((await submit(house)).id)
        assert run.profile is AgentProfile.DEBUG
        assert run.sandbox is not None
        assert run.sandbox.profile == "debug"
        (house.settings.suites / "tiny.yaml").write_text(SUITE + "    privileged: true\n")
        with pytest.raises(Refused, match=r"tiny\.yaml:6: .*asks for privileged.*no sandbox is privileged"):
            await submit(house)
