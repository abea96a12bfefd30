"""Stopping from a page: with and without scripts, in every state, and never by a slip."""

from __future__ import annotations

import asyncio
import math
import re
import time
from html.parser import HTMLParser

import httpx
import pytest
from starlette.routing import Match, Route

from app.domain.runs import EvaluationRequest, Outcome, Run, RunState
from app.domain.stops import StopKind, StopReason, StopSource
from app.store import accounts, audit, hold, runs, stops
from app.supervision.stop_path import StopPath
from app.web.filters import ms_text
from app.web.routes import TABLE
from sandbox_runner.driver import Stream
from sandbox_runner.fake_driver import FakeDriver
from tests.web.conftest import SAME_ORIGIN, Site, knobs, until

JSON = {"accept": "application/json"}


@pytest.fixture
def driver() -> FakeDriver:
    return FakeDriver(knobs(lines=((0.0, Stream.STDOUT, b"at work\n"),), run_for=math.inf))


@pytest.fixture
async def working(site: Site) -> Run:
    """A run whose agent is at work until it is killed."""
    await site.supervisor.submit(EvaluationRequest(suite="tiny", tasks=("tiny/one",)), actor="admin")

    async def printed() -> bool:
        return (await runs.get(site.db, 1)).lines > 0

    await until(printed)
    return await runs.get(site.db, 1)


async def ended(site: Site, run: int) -> Run:
    async def has() -> bool:
        return not (await runs.get(site.db, run)).live

    await until(has)
    return await runs.get(site.db, run)


async def test_a_stop_without_scripts_comes_back_to_the_page_with_its_receipt(site: Site, working: Run) -> None:
    answer = await site.post("/runs/1/stop", kind="stop", text="looks odd")
    assert (answer.status_code, answer.headers["location"]) == (303, "/runs/1?said=stop")
    assert (await ended(site, 1)).outcome is Outcome.STOPPED
    (receipt,) = await stops.of_run(site.db, 1)
    assert receipt.dead_ms is not None
    assert (receipt.reason.actor, receipt.reason.text, receipt.reason.path) == ("admin", "looks odd", "web")
    page = await site.browser.get(answer.headers["location"])
    assert "Stop received." in page.text
    assert "looks odd" in page.text


async def test_a_stop_by_fetch_answers_the_receipt(site: Site, working: Run) -> None:
    answer = await site.post("/runs/1/stop", headers=JSON, kind="emergency")
    assert answer.status_code == 200
    assert answer.json()["kind"] == "emergency"
    assert answer.json()["run"] == 1
    assert answer.json()["changed"] is True
    again = await site.post("/runs/1/stop", headers=JSON)
    assert again.json()["changed"] is False, "pressing again is safe and recorded"
    assert (await ended(site, 1)).outcome is Outcome.EMERGENCY_STOPPED


async def test_an_evaluation_is_stopped_from_its_page_and_by_the_api(site: Site, working: Run) -> None:
    page = (await site.browser.get("/evaluations/1")).text
    assert "/evaluations/1/stop" in Forms(page).targets
    answer = await site.post("/evaluations/1/stop", text="wrong model")
    assert (answer.status_code, answer.headers["location"]) == (303, "/evaluations/1?said=stop-evaluation")
    assert (await ended(site, 1)).outcome is Outcome.STOPPED
    (receipt,) = await stops.of_run(site.db, 1)
    assert receipt.reason.text == "wrong model"
    page = (await site.browser.get("/evaluations/1")).text
    assert "/evaluations/1/stop" not in page, "nothing is left to stop"
    assert f"verified dead {ms_text(receipt.dead_ms or 0.0)} after the stop" in page
    token = {**SAME_ORIGIN, "x-csrf-token": site.csrf}
    again = await site.browser.post("/api/v1/evaluations/1/stop", json={"text": "again"}, headers=token)
    assert again.json() == {"receipts": []}
    assert (await site.post("/evaluations/99/stop")).status_code == 404


async def test_the_steps_of_a_stop_are_on_the_page_and_in_the_api(site: Site, working: Run) -> None:
    await site.post("/runs/1/stop")
    await ended(site, 1)
    steps = (await site.browser.get("/api/v1/runs/1")).json()["receipts"][0]["steps"]
    assert [step["name"] for step in steps][-1] == "engine lists nothing of the run"
    page = (await site.browser.get("/runs/1")).text
    assert all(step["name"] in page for step in steps)


async def test_a_stop_does_not_wait_for_the_record_to_say_who_presses_it(
    site: Site, working: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await site.browser.get("/runs/1")).status_code == 200, "this browser is known"

    async def hang(*_: object, **__: object) -> object:
        return await asyncio.Event().wait()

    monkeypatch.setattr(accounts, "session", hang)
    stranger = httpx.Cookies({"crucible": "x" * 43})
    site.stranger.cookies = stranger
    turned_away = await site.stranger.post("/runs/1/stop", data={"csrf": site.csrf}, headers=SAME_ORIGIN | JSON)
    assert turned_away.status_code == 401

    assert (await site.post("/runs/1/stop", headers=JSON)).json()["changed"] is True
    assert (await ended(site, 1)).outcome is Outcome.STOPPED


async def test_who_signed_out_cannot_stop(site: Site, working: Run) -> None:
    cookies = httpx.Cookies(site.browser.cookies)
    await site.browser.get("/")
    await site.post("/sign-out")
    site.browser.cookies = cookies
    assert (await site.post("/runs/1/stop", headers=JSON)).status_code == 401


async def test_a_stop_by_htmx_answers_the_panel(site: Site, working: Run) -> None:
    answer = await site.post("/runs/1/stop", headers={"hx-request": "true"})
    assert answer.status_code == 200
    assert 'id="panel"' in answer.text
    assert "<html" not in answer.text


async def test_a_stop_with_an_endless_reason_is_still_a_stop(site: Site, working: Run) -> None:
    assert (await site.post("/runs/1/stop", text="x" * 100_000)).status_code == 303
    await ended(site, 1)
    (receipt,) = await stops.of_run(site.db, 1)
    assert len(receipt.reason.text) == 2000


async def test_a_stop_works_on_a_queued_and_on_an_ended_run(site: Site) -> None:
    queued = await site.seed(state=RunState.QUEUED)
    answer = await site.post(f"/runs/{queued.id}/stop", headers=JSON)
    assert answer.json()["changed"] is True
    assert (await runs.get(site.db, queued.id)).outcome is Outcome.CANCELLED
    assert (await site.post(f"/runs/{queued.id}/stop", headers=JSON)).json()["changed"] is False
    assert (await site.post("/runs/999/stop")).status_code == 404


async def test_freeze_and_thaw(site: Site, working: Run) -> None:
    assert (await site.post("/runs/1/freeze", text="a look", next="/")).headers["location"] == "/?said=frozen"
    assert (await runs.get(site.db, 1)).state is RunState.FROZEN
    assert (await site.post("/runs/1/thaw")).headers["location"] == "/runs/1?said=thawed"
    assert (await runs.get(site.db, 1)).state is RunState.RUNNING
    conflict = await site.post("/runs/1/thaw")
    assert conflict.status_code == 409
    assert "is not frozen" in conflict.text


async def test_stop_all_asks_once_without_scripts_and_then_holds_the_queue(site: Site, working: Run) -> None:
    asked = await site.post("/stop-all")
    assert asked.status_code == 200
    assert re.search(r'name="confirm"\s+value="yes"', asked.text)
    assert (await runs.get(site.db, 1)).live, "nothing is stopped yet"
    done = await site.post("/stop-all", confirm="yes", text="drill")
    assert (done.status_code, done.headers["location"]) == (303, "/?said=stop-all")
    assert (await ended(site, 1)).outcome is Outcome.EMERGENCY_STOPPED
    held = await hold.current(site.db)
    assert held is not None
    assert (held.actor, held.text) == ("admin", "drill")
    assert "drill" in (await site.browser.get("/")).text, "the hold is said on every page"


async def test_stop_all_says_what_it_ended_and_is_asked_once_why(site: Site, working: Run) -> None:
    await site.supervisor.submit(EvaluationRequest(suite="tiny", tasks=("tiny/one",), epochs=4), actor="admin")

    async def full() -> bool:
        counts = await runs.counts(site.db)
        return (counts[RunState.RUNNING], counts[RunState.QUEUED]) == (2, 3)

    await until(full)
    await site.post("/stop-all", confirm="yes")
    for run in range(1, 6):
        await ended(site, run)
    receipts = [receipt for found in (await stops.of_runs(site.db, range(1, 6))).values() for receipt in found]
    held = await hold.current(site.db)
    assert held is not None
    assert {receipt.received_at for receipt in receipts} == {held.at}, "one press is received once"

    said = visible_text((await site.browser.get("/")).text)
    assert re.search(r"STOP ALL: 2 dead, 3 cancelled, all verified after [\d.]+ s\.", said)

    asked = (await site.browser.get("/alerts")).text
    assert asked.count("Note it") == 1
    assert "and 4 more in one press" in asked
    await site.post(f"/runs/{receipts[0].run}/reason", receipt=str(receipts[0].id), text="a drill")
    for run in range(1, 6):
        assert [receipt.reason.text for receipt in await stops.of_run(site.db, run)] == ["a drill"]
    assert "Stops without a reason" not in (await site.browser.get("/alerts")).text


async def test_the_hold_names_what_is_not_proven_dead(site: Site) -> None:
    run = await site.seed(state=RunState.STOPPING)
    pressed = StopReason(source=StopSource.OPERATOR, actor="admin")
    held = await hold.current(site.db)
    assert held is not None, "the seed holds the queue"
    receipt = await stops.record(site.db, run.id, StopKind.EMERGENCY, pressed, received_at=held.at, changed=True)
    said = visible_text((await site.browser.get("/health")).text)
    assert f"STOP ALL: 1 not verified yet: run {run.id}." in said
    await stops.verified(site.db, receipt.id, acted_ms=1.0, dead_ms=1500.0, at=held.at + 2)
    assert "STOP ALL: 1 dead, all verified after 1.5 s." in visible_text((await site.browser.get("/health")).text)


def visible_text(page: str) -> str:
    """What is between the tags, each space once."""
    return " ".join(re.sub(r"<[^>]+>", "", page).split())


async def test_stop_all_by_fetch_needs_the_word_too(site: Site, working: Run) -> None:
    refused = await site.post("/stop-all", headers=JSON)
    assert refused.status_code == 400
    assert refused.json()["error"]["where"] == "confirm"
    done = await site.post("/stop-all", headers=JSON, confirm="yes")
    assert [receipt["run"] for receipt in done.json()["receipts"]] == [1]


async def test_the_queue_goes_on_only_with_a_reason(site: Site) -> None:
    await site.post("/stop-all", confirm="yes")
    assert (await site.post("/release", text=" ")).status_code == 400
    assert await hold.current(site.db) is not None
    assert (await site.post("/release", text="checked")).headers["location"] == "/?said=released"
    assert await hold.current(site.db) is None
    assert (await site.post("/release", text="checked")).headers["location"] == "/?said=not-held"
    assert any(entry.action == "hold.release" for entry in await audit.read(site.db))


async def test_a_run_again_is_a_new_run(site: Site) -> None:
    old = await site.seed(state=RunState.ENDED)
    answer = await site.post(f"/runs/{old.id}/again")
    assert answer.headers["location"] == f"/runs/{old.id + 1}"
    assert (await runs.get(site.db, old.id + 1)).retry_of == old.id


async def test_the_reason_may_be_said_afterwards_for_that_runs_receipts_only(site: Site, working: Run) -> None:
    await site.post("/runs/1/stop")
    await ended(site, 1)
    (receipt,) = await stops.of_run(site.db, 1)
    answer = await site.post("/runs/1/reason", receipt=str(receipt.id), text="drill")
    assert answer.headers["location"] == "/runs/1?said=reason"
    (receipt,) = await stops.of_run(site.db, 1)
    assert receipt.reason.text == "drill"
    other = await site.seed(state=RunState.ENDED)
    assert (await site.post(f"/runs/{other.id}/reason", receipt=str(receipt.id), text="x")).status_code == 404


async def test_coming_back_never_leaves_this_site(site: Site) -> None:
    run = await site.seed(state=RunState.ENDED)
    answer = await site.post(f"/runs/{run.id}/stop", next="https://evil.example/")
    assert answer.headers["location"] == f"/runs/{run.id}?said=stop"


class Forms(HTMLParser):
    """Where the forms and buttons of a page post to, and which forms hold the token."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.tokens: dict[str, str] = {}
        self._form = ""
        self._post = False
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        if tag == "form":
            self._form, self._post = values.get("id") or f"form {len(self.tokens)}", values.get("method") == "post"
            if self._post:
                self.tokens[self._form] = ""
                self.targets.append(values.get("action") or "")
        elif tag == "input" and values.get("name") == "csrf" and self._post:
            self.tokens[values.get("form") or self._form] = values.get("value") or ""
        elif tag == "button" and values.get("formaction"):
            assert values.get("form") == "act", "a fragment's button belongs to the page's one form"
            self.targets.append(values["formaction"] or "")

    def handle_endtag(self, tag: str) -> None:
        self._post = self._post and tag != "form"


async def test_every_button_that_posts_has_the_token_and_an_address_of_the_table(site: Site, working: Run) -> None:
    posts = [route for route in TABLE if isinstance(route, Route) and "POST" in (route.methods or ())]
    for path in ("/", "/runs/1", "/evaluations/1", "/new", "/alerts", "/account", "/health"):
        forms = Forms((await site.browser.get(path)).text)
        assert set(forms.tokens.values()) == {site.csrf}, path
        for target in forms.targets:
            scope = {"type": "http", "path": target, "method": "POST"}
            # The page's one form has its own address as action: its buttons say where they go.
            assert target == path or any(route.matches(scope)[0] is Match.FULL for route in posts), target
    for path in ("/", "/runs/1"):
        assert "/runs/1/stop" in Forms((await site.browser.get(path)).text).targets


async def test_after_the_stop_that_was_asked_again_the_page_does_not_ask_a_third_time(site: Site) -> None:
    run = await site.seed()
    page = (await site.browser.get(f"/runs/{run.id}?stop=asked")).text
    assert f'name="next" value="/runs/{run.id}"' in page


async def test_a_button_whose_way_is_not_proven_does_not_look_like_a_working_one(site: Site) -> None:
    async def proven() -> bool:
        return not site.supervisor.stop_path.problem

    await until(proven)
    page = (await site.browser.get("/")).text
    assert "stop path OK" in page
    assert "is-unproven" not in page

    site.supervisor._proof.status = StopPath(proven_at=time.time() - 11, ms=3.0, problem="the warden did not answer")
    page = (await site.browser.get("/health")).text
    assert "STOP (unproven)" in page
    assert '<body class="is-unproven"' in page
    assert "the warden did not answer" in page
    assert (await site.browser.get("/api/v1/health")).json()["stop_path"]["proven"] is False
