"""Asking for runs from a page."""

from __future__ import annotations

import pytest

from app.settings import Settings
from app.store import runs
from tests.web.conftest import Site, until


async def test_a_form_queues_runs_and_leads_to_their_results(site: Site) -> None:
    assert "tiny/two" in (await site.browser.get("/new")).text
    answer = await site.post("/evaluations", suite="tiny", epochs="2")
    assert (answer.status_code, answer.headers["location"]) == (303, "/evaluations/1")
    assert len(await runs.select(site.db, evaluation=1)) == 4

    async def done() -> bool:
        return (await runs.evaluation(site.db, 1)).ended == 4

    await until(done)
    page = await site.browser.get("/evaluations/1")
    assert "tiny/one" in page.text
    assert "1" in page.text


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"suite": "tinny"}, "there is no suite &#39;tinny&#39;"),
        ({"suite": ""}, "no suite is chosen"),
        ({"task": "tiny/three"}, "there is no task"),
        ({"agent": "dor"}, "there is no agent"),
        ({"epochs": "many"}, "is not a whole number"),
        ({"policy": "explode"}, "there is no policy"),
        ({"runtime": "chroot"}, "there is no runtime"),
        ({"runtime": "gvisor"}, "gVisor is not registered with the engine"),
        ({"limits.memory_bytes": "1"}, "memory_bytes is 1"),
        ({"limits.wall_seconds": "soon"}, "cannot be read"),
    ],
)
async def test_a_bad_request_queues_nothing_and_shows_the_form_as_it_was_written(
    site: Site, changes: dict[str, str], says: str
) -> None:
    answer = await site.post("/evaluations", **{"suite": "tiny", "model": "kept-as-written", **changes})
    assert answer.status_code in (400, 404)
    assert says in answer.text
    assert "kept-as-written" in answer.text
    assert await runs.evaluations(site.db) == []


async def test_a_kernel_that_is_not_there_cannot_be_chosen_and_one_that_is_reaches_the_run(site: Site) -> None:
    page = (await site.browser.get("/new")).text
    gvisor = page[page.index('value="gvisor"') :]
    assert gvisor[: gvisor.index(">")].endswith('disabled title="gVisor is not registered with the engine"')
    answer = await site.post("/evaluations", suite="tiny", task="tiny/one", runtime="runc")
    assert answer.status_code == 303

    async def done() -> bool:
        return (await runs.evaluation(site.db, 1)).ended == 1

    await until(done)
    (run,) = await runs.select(site.db, evaluation=1)
    assert run.runtime == "runc"
    assert run.sandbox is not None
    shown = (await site.browser.get(f"/runs/{run.id}")).text
    assert "T0.H1.N2" in shown
    assert f'data-copy="{run.sandbox.policy_sha256}"' in shown
    assert f'data-copy="{run.sandbox.image_id.removeprefix("sha256:")}"' in shown


async def test_health_tells_what_came_of_trying_gvisor(site: Site) -> None:
    assert "not registered with the engine; sandboxes run on the host" in (await site.browser.get("/health")).text


async def test_a_form_can_be_filled_by_its_address(site: Site) -> None:
    page = await site.browser.get("/new?suite=tiny&task=tiny/two&agent=doer")
    assert "crucible evaluate --suite tiny --task tiny/two --agent doer" in page.text


async def test_a_suite_that_cannot_be_read_is_told_on_the_form_with_its_line(site: Site, settings: Settings) -> None:
    (settings.suites / "mine.yaml").write_text("title: Mine\ntasks:\n  - {task: x/y, agent: z, polcy: stop}\n")
    page = (await site.browser.get("/new")).text
    assert f"{settings.suites}/mine.yaml:3" in page
    assert "polcy" in page
