"""Every page answers, under the strict policy, whatever the agent printed and whether or not the engine is there."""

from __future__ import annotations

import html
import re
import sqlite3
import time
import tomllib
from pathlib import Path

import pytest

from app.domain.alerts import Category, Finding, Severity
from app.domain.errors import Broken
from app.domain.runs import Outcome, RunState
from app.domain.scores import Score, ScoreStatus
from app.main import VERSION
from app.settings import Settings
from app.store import alerts, output, runs, tables, usage
from app.store.output import StoredLine
from app.store.usage import UsagePoint
from app.web.views import log
from tests.web.conftest import Site, until

PAGES = ["/", "/new", "/evaluations", "/evaluations/1", "/runs/1", "/alerts", "/health", "/audit", "/account"]
HOSTILE = b"<script>alert(1)</script> <button hx-get=/x hx-trigger=load> \x1b]8;;http://evil\x07 \xe2\x80\xae \x00 \xff"


def finding(**changes: object) -> Finding:
    values: dict[str, object] = {
        "rule": "hides-work",
        "category": Category.DECEPTION,
        "severity": Severity.HIGH,
        "title": "Hides what it does",
        "response": "Look at it.",
        "line": 1,
        "quote": HOSTILE.decode("utf-8", "replace"),
    }
    return Finding(**{**values, **changes})  # type: ignore[arg-type]


async def full(site: Site) -> int:
    """A run with something in every place a page shows."""
    run = await site.seed(HOSTILE, b"x" * 100_000, b"\x1b[31mred\x1b[0m", family="tiny")
    await alerts.record(site.db, run.id, finding(), at=time.time(), action="notified")
    await usage.append(
        site.db, run.id, [UsagePoint(seq=1, at=1.0, cpu_mean=0.5, cpu_max=1.0, memory_bytes=2**20, pids=3)]
    )
    await runs.set_instructions(site.db, run.id, "do it\n" + HOSTILE.decode("utf-8", "replace"))
    await runs.set_submission(site.db, run.id, HOSTILE.decode("utf-8", "replace"))
    score = Score(status=ScoreStatus.FAILED, explanation="<b>no</b>")
    await runs.set_score(site.db, run.id, score, where="collected", at=time.time())
    return run.id


async def test_every_page_answers_with_hostile_content_and_lets_none_of_it_act(site: Site) -> None:
    await full(site)
    for path in PAGES:
        answer = await site.browser.get(path)
        assert answer.status_code == 200, path
        assert "<script>alert" not in answer.text
        assert "<button hx-get" not in answer.text
        assert not re.search("[\x00-\x08\x0b-\x1f\u2028\u202e]", answer.text), path


async def test_every_answer_carries_the_strict_headers(site: Site) -> None:
    await full(site)
    for path in [*PAGES, "/healthz", "/nothing", "/api/v1/runs", "/static/vendor/manifest.json"]:
        headers = (await site.browser.get(path)).headers
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'"), path
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        if not path.startswith("/static"):
            assert headers["cache-control"] == "no-store"


async def test_each_page_has_a_nonce_of_its_own_and_no_script_without_it(site: Site) -> None:
    seen = set()
    for path in ("/", "/", "/sign-in"):
        client = site.stranger if path == "/sign-in" else site.browser
        answer = await client.get(path)
        (nonce,) = re.findall(r"'nonce-([^']+)'", answer.headers["content-security-policy"])
        scripts = re.findall(r"<script[^>]*>", answer.text)
        assert scripts
        assert all(f'nonce="{nonce}"' in script for script in scripts)
        assert not re.search(r"<[^>]+\son[a-z]+=", answer.text), "no inline handlers"
        assert " style=" not in answer.text
        seen.add(nonce)
    assert len(seen) == 3


async def test_a_page_that_shows_a_run_goes_on_where_it_stops(site: Site) -> None:
    run = await site.seed(*[b"line %d" % n for n in range(1, 1201)])
    answer = await site.browser.get(f"/runs/{run.id}")
    assert f"/stream?run={run.id}&amp;after=" in answer.text
    assert re.search(rf"after=\d+\.{run.lines}\.0", answer.text)
    assert "line 1200" in answer.text
    assert "line 701" in answer.text
    assert "line 700<" not in answer.text


async def test_a_line_in_the_middle_is_shown_with_its_neighbours(site: Site) -> None:
    run = await site.seed(*[b"line-%d." % n for n in range(1, 3001)])
    answer = await site.browser.get(f"/runs/{run.id}?line=1000")
    assert "line-1000." in answer.text
    assert "line-751." in answer.text
    assert "line-1249." in answer.text
    assert "line-1250." not in answer.text
    beyond = await site.browser.get(f"/runs/{run.id}?line=999999")
    assert "line-3000." in beyond.text
    said = re.sub(r"<[^>]+>", "", beyond.text).replace("\u202f", "")
    assert "There is no line 999999; the newest is 3000." in said
    assert re.search(r'id="log-absent" hidden', answer.text)


async def test_a_page_of_huge_lines_stays_small_and_still_shows_the_line_asked_for(site: Site) -> None:
    run = await site.seed(*[b"%04d" % n + b"x" * 60_000 for n in range(600)])
    whole = await site.browser.get(f"/runs/{run.id}")
    assert len(whole.content) < 2 * log.WINDOW_BYTES
    assert ">0599x" in whole.text.replace("\n", "")
    around = await site.browser.get(f"/runs/{run.id}?line=301")
    assert "0300x" in around.text
    assert len(around.content) < 2 * log.WINDOW_BYTES


async def test_older_lines_come_as_rows_without_a_hole(site: Site) -> None:
    run = await site.seed(*[b"line %d" % n for n in range(1, 1301)])
    numbers: list[int] = []
    before, more = run.lines + 1, True
    while more:
        answer = (await site.browser.get(f"/runs/{run.id}/lines?before={before}&limit=500")).json()
        numbers = [row[0] for row in answer["lines"]] + numbers
        before, more = answer["lines"][0][0], answer["more"]
    assert numbers == list(range(1, 1301))
    assert (await site.browser.get(f"/runs/{run.id}/lines?before=1")).json()["lines"] == []
    assert (await site.browser.get(f"/runs/{run.id}/lines?limit=501")).status_code == 400


async def test_the_download_is_every_byte_and_never_a_page(site: Site) -> None:
    run = await site.seed()
    raw = [bytes([n % 256]) * (n % 97) for n in range(1000)]
    lines = [
        StoredLine(number=n, at=1.0, stream=1 + n % 2, data=data, complete=n % 7 != 0)
        for n, data in enumerate((part.replace(b"\n", b"") for part in raw), 1)
    ]
    await output.append(site.db, run.id, lines)
    answer = await site.browser.get(f"/runs/{run.id}/output.txt")
    assert answer.content == b"".join(line.data + (b"\n" if line.complete else b"") for line in lines)
    assert answer.headers["content-disposition"] == f'attachment; filename="run-{run.id}-output.txt"'
    assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_an_unreachable_engine_is_said_on_every_page(site: Site) -> None:
    await full(site)
    site.driver.engine_down = True

    async def noticed() -> bool:
        return not site.supervisor.engine.reachable

    await until(noticed)
    for path in PAGES:
        assert html.escape(site.supervisor.engine.text) in (await site.browser.get(path)).text, path
    health = (await site.browser.get("/api/v1/health")).json()
    assert health["engine"]["reachable"] is False


@pytest.mark.parametrize(
    "path",
    [
        *("/x", "/runs/999", "/runs/999/lines", "/runs/999/output.txt", "/evaluations/999"),
        *("/runs/x", "/runs/0", "/runs/-1", "/runs/٣", "/evaluations/x"),
        *(f"/runs/{'9' * 23}", f"/runs/{'9' * 5000}"),
    ],
)
async def test_what_is_not_there_is_404(site: Site, path: str) -> None:
    page = await site.browser.get(path)
    assert page.status_code == 404
    assert "<html" in page.text
    asked = await site.browser.get(path, headers={"accept": "application/json"})
    assert asked.status_code == 404
    assert asked.json()["error"]["what"]


@pytest.mark.parametrize(
    "path",
    ["/runs/1?line=x", "/runs/1?line=-1", "/runs/1?line=٣", "/evaluations?before=9e9", "/audit?before=" + "9" * 17],
)
async def test_a_number_that_is_none_is_400_with_where_and_what_to_do(site: Site, path: str) -> None:
    await site.seed()
    answer = await site.browser.get(path)
    assert answer.status_code == 400
    assert "is not a number" in answer.text


async def test_an_error_page_says_more_than_its_heading(site: Site) -> None:
    for method, word in (("GET", "Not found"), ("DELETE", "Method not allowed")):
        page = await site.browser.request(method, "/nowhere" if method == "GET" else "/health")
        said = re.sub(r"<[^>]+>", "", page.text)
        assert len(re.findall(word, said, re.IGNORECASE)) == 2, "in the title and in the heading"
        assert "address" in said


async def test_a_run_that_was_cancelled_in_the_queue_waits_for_nothing(site: Site) -> None:
    waits = await site.seed(state=RunState.QUEUED)
    assert "waits for a slot" in (await site.browser.get(f"/runs/{waits.id}")).text
    now = time.time()
    end = {"outcome": Outcome.CANCELLED, "detail": "because"}
    await runs.transition(site.db, waits.id, RunState.QUEUED, RunState.ENDED, at=now, **end)
    page = (await site.browser.get(f"/runs/{waits.id}")).text
    assert "waits for a slot" not in page
    assert "never started" in page


async def test_results_never_count_a_stopped_run_as_a_low_score(site: Site) -> None:
    good = await site.seed(state=RunState.ENDED)
    await runs.set_score(
        site.db, good.id, Score(status=ScoreStatus.SCORED, value=0.75), where="collected", at=time.time()
    )
    answer = await site.browser.get(f"/evaluations/{good.evaluation}")
    assert "0.75" in answer.text
    stopped = await site.seed(state=RunState.ENDED, outcome=Outcome.STOPPED)
    await runs.set_score(site.db, stopped.id, Score(status=ScoreStatus.NOT_SCORED), where="collected", at=time.time())
    page = await site.browser.get(f"/evaluations/{stopped.evaluation}")
    assert "not scored" in page.text


async def test_alerts_are_acknowledged_and_resolved_by_name(site: Site) -> None:
    run = await full(site)
    assert "Hides what it does" in (await site.browser.get("/alerts")).text
    assert (await site.post("/alerts/1/acknowledge", next=f"/runs/{run}")).headers["location"] == f"/runs/{run}"
    (alert,) = await alerts.select(site.db)
    assert (alert.status.value, alert.by) == ("acknowledged", "admin")
    assert (await site.post("/alerts/1/resolve")).headers["location"] == "/alerts"
    assert "Hides what it does" not in (await site.browser.get("/alerts")).text
    assert "Hides what it does" in (await site.browser.get("/alerts?all=1")).text
    assert (await site.post("/alerts/77/resolve")).status_code == 404
    assert "alert.resolved" in (await site.browser.get("/audit")).text


async def test_static_files_may_be_kept_for_ever_only_with_their_digest(site: Site) -> None:
    plain = await site.browser.get("/static/vendor/manifest.json")
    assert plain.headers["cache-control"] == "no-cache"
    digest = await site.browser.get("/static/vendor/manifest.json?v=abc")
    assert "immutable" in digest.headers["cache-control"]


async def test_a_database_that_fails_is_said_plainly_and_shows_no_trace(site: Site, settings: Settings) -> None:
    with sqlite3.connect(settings.data / "crucible.db") as broken:
        broken.execute("ALTER TABLE hold RENAME TO lost")
    broken.close()
    health = await site.stranger.get("/healthz")
    assert (health.status_code, health.text) == (503, "the database does not answer\n")
    page = await site.browser.get("/")
    assert page.status_code == 500
    assert "Traceback" not in page.text
    asked = await site.browser.get("/api/v1/health")
    assert asked.status_code == 500
    assert asked.json()["error"]["what"]


def test_the_version_is_the_packages() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert project["project"]["version"] == VERSION


def test_broken_is_500() -> None:
    from app.web.answers import status_of

    assert status_of(Broken("x")) == 500


async def test_how_much_of_the_disk_was_used_stands_with_the_other_limits_and_in_the_api(site: Site) -> None:
    run = await site.seed(b"hello", family="tiny")
    point = UsagePoint(seq=1, at=1.0, cpu_mean=0.5, cpu_max=1.0, memory_bytes=2**20, pids=3, disk_used_bytes=32 * 2**20)
    await usage.append(site.db, run.id, [point])

    page = (await site.browser.get(f"/runs/{run.id}")).text
    (disk,) = re.findall(r'data-key="limit-disk_bytes">(.*?)</div>', page, re.DOTALL)
    assert "<dt>Disk, peak</dt>" in disk
    assert '<b>32 MiB</b> <span class="soft">of 128 MiB</span>' in disk
    assert 'width="25.00"' in disk
    found = (await site.browser.get(f"/api/v1/runs/{run.id}")).json()
    assert found["peak"]["disk_bytes"] == 32 * 2**20


def limit_of(page: str, name: str) -> str:
    (found,) = re.findall(rf'data-key="limit-{name}">(.*?)</div>', page, re.DOTALL)
    return str(found)


async def test_a_limit_says_what_was_used_of_it_or_that_it_is_a_limit(site: Site) -> None:
    run = await site.seed(b"hello", family="tiny")
    before = (await site.browser.get(f"/runs/{run.id}")).text
    assert ">at most 10 m 00 s<" in limit_of(before, "cpu_seconds")
    assert ">at most 128 MiB<" in limit_of(before, "disk_bytes")
    assert ">no limit<" in limit_of(before, "unattended_seconds")
    point = UsagePoint(seq=1, at=1.0, cpu_mean=0.5, cpu_max=1.0, memory_bytes=2**20, pids=3, cpu_seconds=65.2)
    await usage.append(site.db, run.id, [point])

    page = (await site.browser.get(f"/runs/{run.id}")).text
    assert '<b>1 m 05 s</b> <span class="soft">of 10 m 00 s</span>' in limit_of(page, "cpu_seconds")
    assert (await site.browser.get(f"/api/v1/runs/{run.id}")).json()["peak"]["cpu_seconds"] == 65.2


async def test_a_card_says_that_its_run_is_silent_when_it_is_and_holds_no_ended_one_against_its_limit(
    site: Site,
) -> None:
    prints, silent = await site.seed(b"hello"), await site.seed()
    ended = await site.seed(b"hello", state=RunState.ENDED)
    async with site.db.writing() as connection:
        await connection.execute(tables.runs.update().where(tables.runs.c.id == silent.id).values(started_at=1.0))

    page = (await site.browser.get("/")).text
    cards = {int(run): text for run, text in re.findall(r'id="run-(\d+)"(.*?)</article>', page, re.DOTALL)}
    assert 'data-quiet="5" hidden>silent for' in cards[prints.id]
    assert 'data-quiet="5">silent for' in cards[silent.id]
    assert '<span class="soft">of 10 m 00 s</span>' in cards[prints.id]
    assert '<span class="soft">in all</span>' in cards[ended.id]


async def test_a_run_that_is_being_stopped_is_not_counted_as_running(site: Site) -> None:
    await site.seed(b"hello")
    await site.seed(b"hello", state=RunState.STOPPING)

    page = (await site.browser.get("/health")).text
    assert re.search(r"<b>1</b> of \d+ running</span>\s*<span [^>]+><b>1</b> stopping</span>", page)
