"""Two runs beside each other: one page, one stream, two outputs and two STOPs."""

from __future__ import annotations

import re

import pytest

from app.domain.runs import RunState
from tests.web.conftest import Site


async def test_both_runs_are_there_each_with_its_own_ids_and_stop(site: Site) -> None:
    one = await site.seed(b"of the one")
    other = await site.seed(b"of the other", b"again")
    page = (await site.browser.get(f"/compare?run={one.id}&run={other.id}")).text
    for pane, run, last in (("left-", one, 1), ("right-", other, 2)):
        assert f'id="{pane}L{last}"' in page
        assert f'href="/runs/{run.id}#L{last}"' in page
        assert f'formaction="/runs/{run.id}/stop"' in page
    assert page.index("of the one") < page.index("of the other")
    assert re.search(
        rf'data-stream="/stream\?run={one.id}&amp;after=\d+\.1\.0&amp;run={other.id}&amp;after=\d+\.2\.0"', page
    )
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


async def test_with_one_run_or_none_it_asks_which_and_offers_the_same_task_first(site: Site) -> None:
    await site.seed(family="older")
    run = await site.seed(state=RunState.ENDED)
    same = await site.seed()
    await site.seed(family="newer")
    page = (await site.browser.get(f"/compare?run={run.id}")).text
    offered = [int(found) for found in re.findall(r'name="run" value="(\d+)"', page)]
    assert offered[:2] == [run.id, same.id]
    assert page.count(" checked>") == 1
    assert 'name="run"' in (await site.browser.get("/compare")).text


@pytest.mark.parametrize("query", ["run=1&run=1", "run=1&run=1&run=1", "run=1&run=x"])
async def test_what_cannot_stand_beside_is_explained(site: Site, query: str) -> None:
    await site.seed(b"line")
    page = await site.browser.get(f"/compare?{query}")
    assert page.status_code == 200
    assert 'class="problem"' in page.text


async def test_a_run_that_is_not_there_is_not_found(site: Site) -> None:
    await site.seed()
    assert (await site.browser.get("/compare?run=1&run=99")).status_code == 404
