"""A chunk whose bytes are damaged on the disk: named, with everything else readable, searchable and to be had."""

from __future__ import annotations

import json

from sqlalchemy import update

from app.store import tables
from tests.web.conftest import Site

SAID = "[lost: the stored output of lines 3 to 4 is damaged]"


async def damaged(site: Site) -> int:
    """A run of six lines in three chunks, whose middle one is damaged; its fifth line claims to be damaged too."""
    run = await site.seed(b"one", b"two")
    await site.print(run.id, b"three", b"four")
    await site.print(run.id, SAID.encode(), b"six")
    chunks = tables.output_chunks
    async with site.db.writing() as connection:
        await connection.execute(update(chunks).where(chunks.c.last_line == 4).values(data=b"nothing of a chunk"))
    return run.id


async def test_the_page_names_the_lines_and_no_line_can_pretend_to_be_one_of_them(site: Site) -> None:
    run = await damaged(site)

    page = (await site.browser.get(f"/runs/{run}")).text

    assert page.count(f'<span class="lost">{SAID}</span>') == 2
    assert page.count(SAID) == 3
    assert ">two</span>" in page
    assert ">six</span>" in page
    rows = (await site.browser.get(f"/runs/{run}/lines?after=0&limit=10")).json()["lines"]
    assert [row[0] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row[3] for row in rows[2:5]] == [[[SAID, "lost"]], [[SAID, "lost"]], [[SAID, ""]]]


async def test_the_rest_is_downloaded_with_the_hole_marked(site: Site) -> None:
    run = await damaged(site)

    text = (await site.browser.get(f"/runs/{run}/output.txt")).text
    assert text == f"one\ntwo\n{SAID}\n{SAID}\nsix\n"
    lines = [json.loads(line) for line in (await site.browser.get(f"/runs/{run}/output.jsonl")).text.splitlines()]
    assert [line["number"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert [line.get("damaged", False) for line in lines] == [False, False, True, True, False, False]


async def test_the_rest_is_searched_and_what_could_not_be_is_counted(site: Site) -> None:
    run = await damaged(site)

    answer = (await site.browser.get(f"/runs/{run}/search?q=six")).text.splitlines()
    parts = [json.loads(line) for line in answer]

    assert [hit for part in parts for hit in part["hits"]] == [6]
    assert parts[-1]["lost"] == 2
