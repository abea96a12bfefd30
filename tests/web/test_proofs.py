"""The proof of the sandbox on the page Health: what was found, by whom, when, and what is under way."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from app.cli import prove as command
from app.domain.proofs import Proof, ProofLine, Verdict
from app.settings import Settings
from app.store import proofs
from sandbox_runner.fake_driver import FakeDriver, FakeEngine
from sandbox_runner.runtime_probe import AGENT_CHECKS, ROOT_CHECKS
from tests.web.conftest import RESULTS, Site, knobs, until

HOSTILE = "<script>alert(1)</script> \x1b[31m"


def line(**changes: object) -> ProofLine:
    values: dict[str, object] = {
        "attack": "network",
        "title": "Reach a network",
        "should": "no packet leaves",
        "runtime": "runc",
        "verdict": Verdict.HELD,
        "happened": "none led out",
        "seconds": 0.5,
    }
    return ProofLine(**{**values, **changes})  # type: ignore[arg-type]


def proof(*lines: ProofLine, **changes: object) -> Proof:
    values: dict[str, object] = {"begun_at": 1.0, "seconds": 30.0, "actor": "ann", "engine": "docker 29.6"}
    return Proof(**{**values, **changes, "lines": lines})  # type: ignore[arg-type]


BAD_PROBE = json.dumps({**dict.fromkeys((*ROOT_CHECKS, *AGENT_CHECKS), ""), "shell": "OSError: Invalid argument"})


@pytest.fixture
def driver() -> FakeDriver:
    """An engine that has a gVisor on which nothing works."""
    engine = FakeEngine(runtimes=("runc", "runsc"))
    return FakeDriver(knobs(results={**RESULTS, "probe": BAD_PROBE.encode()}), engine=engine)


async def test_a_runtime_that_does_not_work_here_is_neither_good_nor_bad_and_not_attacked(site: Site) -> None:
    async def tried() -> bool:
        return "not offered, it does not work here" in (await site.browser.get("/health")).text

    await until(tried)
    page = (await site.browser.get("/health")).text
    assert re.search(r'gVisor<span class="sr">: a fact</span>', page)
    told, raw = re.search(r"<dd[^>]*>(not offered[^<]*)<details>(.*?)</details>", page, re.DOTALL).groups()  # type: ignore[union-attr]
    assert "Install a newer runsc" in told
    assert "OSError" not in told
    assert "OSError: Invalid argument" in raw
    assert re.search(r'Slots<span class="sr">: good</span>', page)
    await site.post("/health/prove")
    under_way = site.server.lifespan.state["proving"].under_way
    assert under_way.plan.runtimes == ("runc",)
    assert "OSError: Invalid argument" in under_way.plan.refused["runsc"]

    refused = line(runtime="runsc", verdict=Verdict.NOT_OFFERED, happened="ls: no")
    recorded = await proofs.record(site.db, proof(line(), refused))
    assert (await proofs.get(site.db, recorded.id)).lines[1] == refused
    page = (await site.browser.get(f"/health?proof={recorded.id}")).text
    assert "1 held, 1 not offered here" in page
    assert re.search(r'<span class="tone-good">.{0,400}1 held, 1 not offered here', page, re.DOTALL)


async def test_nothing_is_claimed_before_a_proof(site: Site) -> None:
    page = (await site.browser.get("/health")).text
    assert "Nothing was proven on this host yet." in page
    assert "Prove now" in page


async def test_the_newest_proof_is_shown_and_an_older_one_when_asked(site: Site) -> None:
    old = await proofs.record(site.db, proof(line(happened="the old one", verdict=Verdict.BROKE)))
    await proofs.record(site.db, proof(line(), line(runtime="runsc", happened=HOSTILE, verdict=Verdict.UNTESTED)))

    page = (await site.browser.get("/health")).text
    assert "1 held, 1 not testable here" in page
    assert "the old one" not in page
    assert "<script>alert" not in page

    page = (await site.browser.get(f"/health?proof={old.id}")).text
    assert "the old one" in page
    assert "1 did NOT hold" in page
    assert (await site.browser.get("/health?proof=77")).status_code == 404


async def test_what_the_command_finds_is_in_the_history(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(*_: object) -> list[ProofLine]:
        return [line(), line(attack="noise", happened="found by the command")]

    monkeypatch.setattr(command, "DockerDriver", lambda _host: FakeDriver(engine=FakeEngine(runtimes=("runc",))))
    monkeypatch.setattr(command, "_play", play)
    settings = site.server.lifespan.state["settings"]
    assert await command.run_proof(settings, runtime=None, only=(), as_json=True) == 0

    page = (await site.browser.get("/health")).text
    assert "2 held" in page
    assert "found by the command" in page
    assert "proof.record" in (await site.browser.get("/audit")).text

    assert await command.run_proof(settings, runtime="runc", only=(), as_json=True) == 0
    assert len(await proofs.recent(site.db)) == 1  # a part says nothing of the whole


async def test_where_no_server_ever_was_nothing_is_made_to_record_a_proof(tmp_path: Path) -> None:
    said = await command.record_proof(Settings(data=tmp_path), proof(line()))
    assert said.startswith("Not recorded: no server has had")
    (tmp_path / "instance").write_text("abc\n")
    elsewhere = Settings(data=tmp_path, server="http://elsewhere:8700")
    assert (await command.record_proof(elsewhere, proof(line()))).startswith("Not recorded: the server that")
    assert [each.name for each in tmp_path.iterdir()] == ["instance"]
    (tmp_path / "crucible.db").mkdir()
    assert (await command.record_proof(Settings(data=tmp_path), proof(line()))).startswith("Not recorded: ")


async def test_what_is_recorded_comes_back_whole(site: Site) -> None:
    written = proof(line(), line(verdict=Verdict.UNTESTED), line(verdict=Verdict.BROKE, happened=HOSTILE))
    recorded = await proofs.record(site.db, written)
    assert recorded.lines == written.lines
    assert await proofs.get(site.db, recorded.id) == recorded
    assert await proofs.recent(site.db) == [recorded]


async def test_a_press_begins_one_proof_that_is_shown_while_it_is_played(site: Site) -> None:
    assert (await site.post("/health/prove")).headers["location"] == "/health?said=proving"
    page = (await site.browser.get("/health")).text
    assert "<progress" in page
    assert "asked by" in page
    assert (await site.post("/health/prove")).status_code == 409


async def test_without_an_engine_a_proof_is_refused_in_words(site: Site) -> None:
    site.driver.engine_down = True
    answer = await site.post("/health/prove")
    assert answer.status_code == 503
    assert "the engine does not answer" in answer.text
    assert "Nothing was proven" in (await site.browser.get("/health")).text
