"""The proof of the sandbox on the page Health: what was found, by whom, when, and what is under way."""

from __future__ import annotations

from app.domain.proofs import Proof, ProofLine, Verdict
from app.store import proofs
from tests.integration.web.conftest import Site

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
