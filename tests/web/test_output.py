"""A run's output over the web: windows, searching, outline, moments, files."""

from __future__ import annotations

import gzip
import json

import pytest

from tests.web.conftest import Site

TEXTS = [b"%d %s" % (n, b"ERROR: needle" if n % 100 == 0 else b"tick") for n in range(1, 1201)]


@pytest.mark.parametrize(
    ("query", "first", "numbers"),
    [
        ("limit=2", 1199, [1199, 1200]),
        ("before=3", 1, [1, 2]),
        ("after=1198", 1199, [1199, 1200]),
        ("q=NEEDLE&limit=2", 1100, [1100, 1200]),
        ("q=NEEDLE&case=1", 1, []),
        ("q=needle&after=250&limit=2", 251, [300, 400]),
        ("q=^[0-9]%2B+ERR&regex=1&before=201", 1, [100, 200]),
        ("level=error&before=101", 1, [100]),
        ("stream=2", 1, []),
        ("q=tick&inverse=1&before=101", 1, [100]),
    ],
)
async def test_a_window_holds_the_lines_that_are_asked_for(
    site: Site, query: str, first: int, numbers: list[int]
) -> None:
    run = await site.seed(*TEXTS)
    answer = (await site.browser.get(f"/runs/{run.id}/lines?{query}")).json()
    assert [row[0] for row in answer["lines"]] == numbers
    assert answer["first"] == first
    assert answer["total"] == 1200


async def test_what_is_found_is_marked_with_and_without_the_other_lines(site: Site) -> None:
    run = await site.seed(*TEXTS)
    rows = (await site.browser.get(f"/runs/{run.id}/lines?q=needle&mark=1&around=300")).json()["lines"]
    assert len(rows) == 500
    (found,) = (row for row in rows if row[0] == 300)
    assert found[3:] == [[["300 ERROR: ", ""], ["needle", "hit"]], True, "error"]


async def test_a_search_tells_every_hit_and_goes_on_where_it_ended(site: Site) -> None:
    run = await site.seed(*TEXTS)
    parts = [json.loads(line) for line in (await site.browser.get(f"/runs/{run.id}/search?q=needle")).text.splitlines()]
    assert [hit for part in parts for hit in part["hits"]] == list(range(100, 1201, 100))
    assert parts[-1]["done"]
    await site.print(run.id, b"one more needle")
    answer = await site.browser.get(f"/runs/{run.id}/search?q=needle&after={parts[-1]['scanned']}")
    assert json.loads(answer.text.splitlines()[-1])["hits"] == [1201]


@pytest.mark.parametrize(
    ("query", "where"),
    [
        *(("q=(a&regex=1", "pattern"), ("level=loud", "level"), ("stream=7", "stream")),
        *(("q=a&regex=2", "regex"), ("q=a&case=yes", "case"), ("q=a&inverse=", "inverse")),
    ],
)
async def test_what_cannot_be_looked_for_is_explained(site: Site, query: str, where: str) -> None:
    run = await site.seed(b"line")
    for path in ("lines", "search", "output.jsonl"):
        answer = await site.browser.get(f"/runs/{run.id}/{path}?{query}", headers={"accept": "application/json"})
        assert answer.status_code == 400
        assert answer.json()["error"]["where"] == where
    answer = await site.browser.get(f"/api/v1/runs/{run.id}/output?{query}")
    assert answer.status_code == 400
    assert answer.json()["error"]["where"] == where
    page = await site.browser.get(f"/runs/{run.id}?{query}")
    assert page.status_code == 200
    assert 'class="problem"' in page.text


async def test_a_switch_is_0_or_1(site: Site) -> None:
    run = await site.seed(b"line")
    for path in ("lines?mark=2", "output.txt?gzip=yes"):
        assert (await site.browser.get(f"/runs/{run.id}/{path}")).status_code == 400
    for query, found in (("regex=0", 0), ("regex=1", 1), ("regex=1&case=0&inverse=0", 1)):
        answer = await site.browser.get(f"/api/v1/runs/{run.id}/output?q=l.ne&{query}")
        assert len(answer.text.splitlines()) == found


async def test_colours_are_no_part_of_what_is_looked_for(site: Site) -> None:
    run = await site.seed(b"208|\x1b[31m")
    for query, found in (("q=%1b[31m", 0), ("q=^[0-9]%2B\\|$&regex=1", 1)):
        answer = await site.browser.get(f"/api/v1/runs/{run.id}/output?{query}")
        assert len(answer.text.splitlines()) == found


async def test_the_outline_counts_levels_and_a_moment_leads_to_its_line(site: Site) -> None:
    run = await site.seed(*TEXTS)
    pieces = (await site.browser.get(f"/runs/{run.id}/outline?buckets=12")).json()["pieces"]
    assert sum(piece[4]["error"] for piece in pieces) == 12
    assert [pieces[0][0], pieces[-1][1]] == [1, 1200]
    answer = await site.browser.get(f"/runs/{run.id}/moment?at={pieces[-1][3]:.6f}")
    assert 1 <= answer.json()["line"] <= 1200
    assert (await site.browser.get(f"/runs/{run.id}/moment?at=1")).json()["line"] == 1
    assert (await site.browser.get(f"/runs/{run.id}/moment?at=noon")).status_code == 400


async def test_programs_get_what_they_look_for_and_what_came_since(site: Site) -> None:
    run = await site.seed(*TEXTS)

    async def numbers(query: str) -> list[int]:
        answer = await site.browser.get(f"/api/v1/runs/{run.id}/output?{query}")
        return [json.loads(line)["number"] for line in answer.text.splitlines()]

    assert await numbers("q=needle&after=250&limit=200") == [300, 400]
    assert await numbers("since=0") == list(range(1, 1201))
    assert await numbers("since=99999999999") == []
    assert (await site.browser.get(f"/api/v1/runs/{run.id}/output?q=(&regex=1")).status_code == 400


async def test_a_file_holds_the_very_bytes_or_what_is_looked_for(site: Site) -> None:
    run = await site.seed(b"\xff\x00 needle", b"other", b"needle")
    whole = b"\xff\x00 needle\nother\nneedle\n"
    assert (await site.browser.get(f"/runs/{run.id}/output.txt")).content == whole
    packed = await site.browser.get(f"/runs/{run.id}/output.txt?gzip=1")
    assert packed.headers["content-disposition"].endswith('.txt.gz"')
    assert gzip.decompress(packed.content) == whole
    found = await site.browser.get(f"/runs/{run.id}/output.jsonl?q=needle")
    assert [json.loads(line)["number"] for line in found.text.splitlines()] == [1, 3]
    assert (await site.browser.get(f"/runs/{run.id}/output.exe")).status_code == 404
