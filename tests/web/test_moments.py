"""A run as it was at a moment: what its page showed then, and its use of resources in any stretch of time."""

from __future__ import annotations

import re
import time

from app.domain.alerts import AlertStatus, Category, Finding, Severity
from app.domain.limits import RunLimits
from app.domain.runs import EvaluationRequest, Outcome, Phase, PlannedRun, Policy, Run, RunState
from app.domain.stops import StopKind, StopReason, StopSource, StopStep
from app.store import alerts, output, runs, stops, usage
from app.store.chunk import StoredLine
from app.store.usage import UsagePoint
from tests.web.conftest import Site

START = 1_700_000_000.0


def finding(line: int) -> Finding:
    return Finding(
        rule="copies",
        category=Category.SELF_REPLICATION,
        severity=Severity.HIGH,
        title="It means to copy itself",
        response="Look",
        line=line,
    )


async def story(site: Site) -> Run:
    """Queued at 0 s, started at 10, agent from 12, a line each second from 20 to 49, an alert at 25.5, a stop at 50."""
    await site.seed()  # Holds the queue.
    db = site.db
    plan = PlannedRun(
        suite="tiny",
        family="tiny",
        task="one",
        agent="doer",
        model=None,
        epoch=1,
        limits=RunLimits(),
        policy=Policy.NOTIFY,
    )
    _, (run,) = await runs.submit(db, EvaluationRequest(suite="tiny"), [plan], actor="admin", at=START)
    await runs.transition(db, run.id, RunState.QUEUED, RunState.STARTING, at=START + 10)
    await runs.transition(db, run.id, RunState.STARTING, RunState.RUNNING, at=START + 11)
    await runs.set_instructions(db, run.id, "do it well")
    await runs.enter_phase(db, run.id, Phase.AGENT, at=START + 12)
    lines = [
        StoredLine(number=n, at=START + 19 + n, stream=1, data=b"line %d" % n, complete=True) for n in range(1, 31)
    ]
    await output.append(db, run.id, lines)
    points = [
        UsagePoint(seq=n, at=START + 11 + n, cpu_mean=0.1, cpu_max=n / 100, memory_bytes=n << 20, pids=n)
        for n in range(1, 41)
    ]
    await usage.append(db, run.id, points)
    raised, _ = await alerts.record(db, run.id, finding(6), at=START + 25.5, action="notified")
    await alerts.record(db, run.id, finding(20), at=START + 39.5, action="notified")
    await alerts.set_status(db, raised.id, AlertStatus.ACKNOWLEDGED, actor="ada", at=START + 45)
    reason = StopReason(source=StopSource.OPERATOR, actor="ada", text="", path="web")
    receipt = await stops.record(db, run.id, StopKind.STOP, reason, received_at=START + 50, changed=True)
    await runs.transition(db, run.id, RunState.RUNNING, RunState.STOPPING, at=START + 50)
    steps = [StopStep(name="told", ms=100), StopStep(name="seen dead", ms=2000)]
    await stops.verified(db, receipt.id, acted_ms=100, dead_ms=2000, steps=steps, at=START + 52)
    await runs.set_submission(db, run.id, "the answer")
    await stops.set_text(db, receipt.id, "a reason given afterwards", actor="ada", at=1.0)
    ended = {"outcome": Outcome.STOPPED, "detail": "by ada"}
    await runs.transition(db, run.id, RunState.STOPPING, RunState.ENDED, at=START + 60, **ended)
    return await runs.get(db, run.id)


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


async def past(site: Site, run: Run, after: float) -> tuple[int, str, str]:
    """The last line, the status and the alerts as they were so many seconds after the beginning."""
    answer = (await site.browser.get(f"/runs/{run.id}/past?at={START + after}")).json()
    return answer["line"], text_of(answer["panel"]), text_of(answer["alerts"])


async def test_line_state_phase_and_peaks_are_those_of_the_moment(site: Site) -> None:
    run = await story(site)
    line, panel, _ = await past(site, run, 5)
    assert line == 0
    assert "Queued" in panel
    assert "waits for a slot" in panel
    assert "do it well" not in panel
    line, panel, _ = await past(site, run, 11.5)
    assert "Running" in panel
    assert "1.5 s of" in panel
    line, panel, _ = await past(site, run, 30)
    assert line == 11  # The one of that very moment is there.
    assert "Running · agent" in panel
    assert "do it well" in panel
    assert "the answer" not in panel
    assert "19.0 MiB of 512 MiB" in panel or "19 MiB of 512 MiB" in panel
    assert "Stored 11 lines, 79 B" in panel
    assert "Stopped" not in panel
    assert "ada" not in panel
    _, panel, _ = await past(site, run, 61)
    assert "Stopped" in panel
    assert "the answer" in panel


async def test_alerts_are_those_raised_by_then_as_they_stood(site: Site) -> None:
    run = await story(site)
    assert "copy itself" not in (await past(site, run, 25))[2]
    early, later, last = [(await past(site, run, after))[2] for after in (26, 41, 46)]
    assert "copy itself" in early
    assert "Seen" not in early
    assert "by ada" not in early
    assert "Seen 2 times" in later
    assert "Acknowledge " in later
    assert "Acknowledged by ada" in last


async def test_a_stop_has_the_marks_it_had_and_no_reason_that_came_later(site: Site) -> None:
    run = await story(site)
    _, panel, _ = await past(site, run, 51)
    assert "Stopping" in panel
    assert "+100 ms" in panel
    assert "+2.00 s" not in panel
    assert "told" in panel
    assert "seen dead" not in panel
    answer = (await site.browser.get(f"/runs/{run.id}/past?at={START + 51}")).json()
    assert "data-since" not in answer["panel"]
    assert "data-start" not in answer["panel"]
    _, panel, _ = await past(site, run, 53)
    assert "+2.00 s" in panel
    assert "afterwards" not in panel


async def test_the_page_of_a_moment_needs_no_script_and_keeps_stop(site: Site) -> None:
    run = await story(site)
    for written in (f"{START + 30}", "+20"):
        page = (await site.browser.get(f"/runs/{run.id}", params={"at": written})).text
        assert "As it was at <b" in page
        assert "22:13:50.000" in page
        assert "30 s before the end" in page
        assert 'id="L11"' in page
        assert 'id="L12"' not in page
        assert "Seen" not in text_of(page)
        assert "copy itself" in page
        assert "Back to now" in page
    live = await site.seed(b"one", b"two")
    page = (await site.browser.get(f"/runs/{live.id}?at={live.created_at:.6f}")).text
    assert "As it was at" in page
    assert 'id="L1"' not in page
    assert f'formaction="/runs/{live.id}/stop"' in page
    assert "As it was at" not in (await site.browser.get(f"/runs/{live.id}?at={time.time() + 60}")).text


async def test_what_is_no_time_is_explained_and_shows_now(site: Site) -> None:
    run = await story(site)
    page = await site.browser.get(f"/runs/{run.id}?at=<b>noon")
    assert page.status_code == 200
    assert "is not a time" in page.text
    assert "&lt;b&gt;noon" in page.text
    assert 'id="L30"' in page.text
    assert (await site.browser.get(f"/runs/{run.id}/past?at=noon")).status_code == 400
    assert (await site.browser.get("/runs/999/past?at=1")).status_code == 404


async def test_usage_comes_for_any_stretch_of_time_with_its_peaks(site: Site) -> None:
    run = await story(site)

    async def points(query: str) -> tuple[list[list[float]], int]:
        answer = (await site.browser.get(f"/runs/{run.id}/usage?{query}")).json()
        return answer["points"], answer["seconds"]

    every, seconds = await points("")
    assert (len(every), seconds) == (40, 1)
    folded, seconds = await points("points=8")
    assert (len(folded), seconds) == (8, 5)
    assert [row[3] for row in folded] == [n / 100 for n in range(5, 41, 5)]
    part, _ = await points(f"since={START + 20}&until={START + 22}")
    assert [row[0] for row in part] == [9, 10]
    assert (await site.browser.get(f"/runs/{run.id}/usage?since=noon")).status_code == 400
