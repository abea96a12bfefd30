"""Drills, attended runs, and stops whose reason nobody has said yet: as pages show them."""

from __future__ import annotations

import math

import pytest

from app.domain.runs import EvaluationRequest, Run
from app.settings import Settings
from app.store import audit, runs, stops
from sandbox_runner.driver import Stream
from sandbox_runner.fake_driver import FakeDriver
from tests.web.conftest import Site, knobs, until


@pytest.fixture
def driver() -> FakeDriver:
    return FakeDriver(knobs(lines=((0.0, Stream.STDOUT, b"at work\n"),), run_for=math.inf))


async def at_work(site: Site, run: int) -> Run:
    async def printed() -> bool:
        return (await runs.get(site.db, run)).lines > 0

    await until(printed)
    return await runs.get(site.db, run)


async def over(site: Site, run: int) -> None:
    async def ended() -> bool:
        return not (await runs.get(site.db, run)).live

    await until(ended)


async def test_a_drill_is_started_by_a_press_and_passed_by_a_person(site: Site, settings: Settings) -> None:
    (settings.suites / "drill.yaml").write_text(
        "title: Drill\ndescription: Wait.\ntasks:\n  - {task: tiny/one, agent: doer}\n"
    )
    assert "no drill was ever passed" in (await site.browser.get("/health")).text
    answer = await site.post("/drill")
    assert (answer.status_code, answer.headers["location"]) == (303, "/runs/1?said=drill")
    assert "This is a drill." in (await site.browser.get(answer.headers["location"])).text
    await at_work(site, 1)
    assert "under way" in (await site.browser.get("/health")).text

    await site.post("/runs/1/stop")
    await over(site, 1)
    page = (await site.browser.get("/health")).text
    assert "stopped by admin through web" in page
    assert "less than a day ago" in page
    assert "95 % within" in page


async def test_the_drill_that_ships_is_there_beside_a_folder_without_one(site: Site) -> None:
    answer = await site.post("/drill")
    assert (answer.status_code, answer.headers["location"]) == (303, "/runs/1?said=drill")
    run = await at_work(site, 1)
    assert (run.suite, run.family, run.agent) == ("drill", "endurance", "standby")
    await site.post("/runs/1/stop")
    await over(site, 1)


async def test_a_stop_without_a_reason_waits_on_the_alerts_page_until_somebody_says_why(site: Site) -> None:
    await site.supervisor.submit(EvaluationRequest(suite="tiny", tasks=("tiny/one",)), actor="admin")
    await at_work(site, 1)
    await site.post("/runs/1/stop")
    await over(site, 1)
    assert "Stops without a reason" in (await site.browser.get("/alerts")).text
    (receipt,) = await stops.of_run(site.db, 1)

    empty = await site.post("/runs/1/reason", receipt=str(receipt.id), text=" ")
    assert empty.status_code == 400
    said = await site.post("/runs/1/reason", receipt=str(receipt.id), text="it dug", next="/alerts#reasons")
    assert said.status_code == 303
    assert "Stops without a reason" not in (await site.browser.get("/alerts")).text
    (noted,) = [each for each in await audit.read(site.db) if each.action == "stop.reason"]
    assert (noted.actor, noted.subject, noted.detail) == ("admin", "run 1", "it dug")


async def test_an_attended_run_says_when_somebody_has_to_show_up_and_a_plain_form_does(site: Site) -> None:
    request = EvaluationRequest(suite="tiny", tasks=("tiny/one",), limits={"unattended_seconds": "10m"})
    await site.supervisor.submit(request, actor="admin")
    await at_work(site, 1)

    async def clocked() -> bool:
        return site.supervisor.attended(1) is not None

    await until(clocked)
    assert "I am here" in (await site.browser.get("/runs/1")).text
    before = site.supervisor.attended(1)
    answer = await site.post("/runs/1/attend")
    assert (answer.status_code, answer.headers["location"]) == (303, "/runs/1?said=attended")
    after = site.supervisor.attended(1)
    assert before is not None
    assert after is not None
    assert after.due_at > before.due_at
    await site.post("/runs/1/stop")
    await over(site, 1)
    assert "I am here" not in (await site.browser.get("/runs/1")).text
    assert (await site.post("/runs/1/attend")).status_code == 409
