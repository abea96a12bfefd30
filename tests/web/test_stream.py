"""One stream a page: whatever happens to the connection, each line comes once, in order, and none is missing."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import math
import random
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import anyio
import httpx
import pytest

from app.domain.alerts import AlertStatus, Category, Finding, Severity
from app.domain.errors import Broken
from app.domain.events import Noted, OutputCounted, OutputLost
from app.domain.runs import Outcome, RunState
from app.store import accounts, alerts, events, output, runs, usage
from app.store.usage import UsagePoint
from app.supervision.doorbell import Doorbell
from app.web.live import feeds as feeds_module
from app.web.live import reading as live_reading
from app.web.live import run_feed, stream
from app.web.live.ears import Ear
from app.web.live.feeds import MOST_READERS, Feeds
from app.web.live.frames import Cursor
from app.web.live.readers import RunReader, WallTopic
from app.web.live.reading import MOST_BYTES, MOST_LINES
from app.web.live.run_feed import KEPT_BYTES
from app.web.live.stream import Listener, Topics
from app.web.wall_query import WallQuery
from tests.web.conftest import Site, until


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    name: str
    id: str
    data: dict[str, object]

    @property
    def numbers(self) -> list[int]:
        rows = self.data["lines"]
        assert isinstance(rows, list)
        return [row[0] for row in rows]


def parse(block: bytes) -> Frame:
    fields = dict(line.split(": ", 1) for line in block.decode().rstrip("\n").split("\n"))
    return Frame(name=fields["event"], id=fields.get("id", ""), data=json.loads(fields["data"]))


async def frames_of(chunks: AsyncIterator[bytes]) -> AsyncIterator[Frame]:
    """A reader that does not care where the chunks of the connection end."""
    held = b""
    async for chunk in chunks:
        held += chunk
        *whole, held = held.split(b"\n\n")
        for block in whole:
            yield parse(block)


@contextlib.asynccontextmanager
async def reading(site: Site, path: str, **headers: str) -> AsyncIterator[AsyncIterator[Frame]]:
    async with site.browser.stream("GET", path, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield frames_of(answer.aiter_bytes())


def listener(**changes: object) -> Listener:
    async def yes() -> bool:
        return True

    values: dict[str, object] = {"server": "1", "version": "0", "may_read": yes}
    return Listener(**{**values, **changes})  # type: ignore[arg-type]


def of(*runs: int) -> Topics:
    """These runs from their beginning."""
    return Topics(runs={run: Cursor() for run in runs})


def feeds_of(site: Site) -> Feeds:
    feeds: Feeds = site.server.lifespan.state["feeds"]
    return feeds


async def next_named(frames: AsyncIterator[Frame], name: str) -> Frame:
    async with asyncio.timeout(20):
        async for frame in frames:
            if frame.name == name:
                return frame
    raise AssertionError(f"the stream ended without {name}")


async def lines_until(frames: AsyncIterator[Frame], last: int) -> list[int]:
    """The numbers of the lines that come, up to `last`."""
    got: list[int] = []
    while not got or got[-1] < last:
        got += (await next_named(frames, "lines")).numbers
    return got


async def test_a_page_and_the_stream_after_it_show_every_line_once(site: Site) -> None:
    run = await site.seed(*[b"line %d" % n for n in range(1, 701)])
    page = (await site.browser.get(f"/runs/{run.id}")).text
    match = re.search(r"/stream\?run=\d+&amp;after=(\d+\.\d+\.\d+)", page)
    assert match
    await site.print(run.id, b"between the page and the stream")
    async with reading(site, f"/stream?run={run.id}&after={match[1]}") as frames:
        assert (await anext(frames)).name == "hello"
        assert await lines_until(frames, 701) == [701]
        await site.print(run.id, b"live", b"and kicking")
        assert await lines_until(frames, 703) == [702, 703]


async def test_a_late_reader_gets_all_of_it_in_frames_of_bounded_size(site: Site) -> None:
    run = await site.seed(*[b"x" * 5 * n for n in range(1, 1001)])
    async with reading(site, f"/stream?run={run.id}") as frames:
        got: list[int] = []
        while len(got) < 1000:
            frame = await next_named(frames, "lines")
            assert len(frame.numbers) <= MOST_LINES
            assert len(json.dumps(frame.data)) < 2 * MOST_BYTES
            got += frame.numbers
    assert got == list(range(1, 1001))


async def test_a_reader_that_is_behind_waits_for_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ear, "ring", lambda _ear: None)  # Whoever waited would wait for ever.
    count = MOST_LINES * (stream.FRAMES_AT_ONCE + 4)
    run = await site.seed(*[b"line"] * count)
    async with contextlib.aclosing(frames_of(stream.frames(feeds_of(site), of(run.id), listener()))) as frames:
        assert await lines_until(frames, count) == list(range(1, count + 1))


@pytest.mark.parametrize("seed", range(4))
async def test_however_often_the_connection_is_cut_no_line_is_missing_and_none_comes_twice(
    site: Site, seed: int
) -> None:
    chance = random.Random(seed)
    run = await site.seed(b"first")
    got: list[int] = []
    last_id = ""

    async def print_now_and_then() -> None:
        for _ in range(40):
            await site.print(run.id, *[b"line"] * chance.randint(1, 30))
            await asyncio.sleep(chance.random() * 0.02)

    async with asyncio.TaskGroup() as group:
        printing = group.create_task(print_now_and_then())
        while not printing.done() or len(got) < (await runs.get(site.db, run.id)).lines:
            headers = {"last-event-id": last_id} if last_id else {}
            async with reading(site, f"/stream?run={run.id}&after=0.0.0", **headers) as frames:
                for _ in range(chance.randint(1, 6)):
                    frame = await anext(frames)
                    if frame.name == "lines":
                        got += frame.numbers
                    last_id = frame.id or last_id
    assert got == list(range(1, (await runs.get(site.db, run.id)).lines + 1))


async def test_usage_goes_on_after_the_cursor(site: Site) -> None:
    run = await site.seed()
    points = [UsagePoint(seq=n, at=float(n), cpu_mean=0.5, cpu_max=1.0, memory_bytes=n, pids=2) for n in range(1, 6)]
    points[3] = dataclasses.replace(points[3], disk_written_bytes=40, network_attempts=0)
    await usage.append(site.db, run.id, points)
    async with reading(site, f"/stream?run={run.id}&after=0.0.3") as frames:
        frame = await next_named(frames, "usage")
        assert frame.data["points"] == [[4, 4.0, 0.5, 1.0, 4, 2, 40, 0], [5, 5.0, 0.5, 1.0, 5, 2, None, None]]
        assert frame.id.endswith(".0.5")


async def test_an_alert_comes_at_once_and_what_becomes_of_it_too(site: Site) -> None:
    run = await site.seed(b"I hide what I do")
    finding = Finding(
        rule="hides", category=Category.DECEPTION, severity=Severity.HIGH, title="Hides", response="Look", line=1
    )
    async with reading(site, f"/stream?run={run.id}") as frames:
        assert "Hides" not in str((await next_named(frames, "alerts")).data["html"])
        alert, _ = await alerts.record(site.db, run.id, finding, at=time.time(), action="notified")
        site.supervisor.doorbell.ring(run.id)
        assert "Hides" in str((await next_named(frames, "alerts")).data["html"])
        answer = await site.post(f"/alerts/{alert.id}/acknowledge")
        assert answer.status_code == 303
        assert "acknowledged" in str((await next_named(frames, "alerts")).data["html"])
    assert (await alerts.get(site.db, alert.id)).status is AlertStatus.ACKNOWLEDGED


async def test_what_happens_is_shown_at_once_however_seldom_the_panel_is_made_anew(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_feed, "PANEL_SECONDS", math.inf)
    run = await site.seed(b"line")
    async with reading(site, f"/stream?run={run.id}") as frames:
        await next_named(frames, "panel")
        for text in ("first note", "second note"):
            await events.append(site.db, run.id, Noted(text=text), at=time.time())
            site.supervisor.doorbell.ring(run.id)
            assert text in str((await next_named(frames, "panel")).data["html"])


async def test_the_end_is_told_after_the_last_line_and_the_heart_goes_on_beating(site: Site) -> None:
    run = await site.seed(*[b"line"] * 300)
    async with reading(site, f"/stream?run={run.id}") as frames:
        assert len(await lines_until(frames, 300)) == 300
        await site.print(run.id, b"last words")
        await runs.transition(
            site.db, run.id, RunState.RUNNING, RunState.ENDED, at=time.time(), outcome=Outcome.SUCCEEDED
        )
        site.supervisor.doorbell.ring(run.id)
        names = []
        async with asyncio.timeout(20):
            async for frame in frames:
                names.append(frame.name)
                if frame.name == "hb":
                    assert frame.data["cursor"] == f"{frame.data['cursor']}".split(".")[0] + ".301.0"
                    break
        assert names.index("lines") < names.index("eof") < names.index("hb")
        assert names.count("eof") == 1
        assert "panel" in names


async def test_readers_share_what_was_encoded_once(site: Site) -> None:
    run = await site.seed(*[b"line"] * 500)
    feeds = feeds_of(site)
    with feeds.run(run.id, Ear()) as one, feeds.run(run.id, Ear()) as other:
        assert one is other
        await one.ready()
        first, second = await one.lines_after(0), await other.lines_after(0)
        assert first is not None
        assert first is second
    readers = [[block async for block in first_frames(feeds, run.id, 4)] for _ in range(2)]
    lines = [[block for block in blocks if b"event: lines" in block] for blocks in readers]
    assert lines[0] == lines[1]
    assert len(lines[0]) == 2


async def first_frames(feeds: Feeds, run: int, count: int) -> AsyncIterator[bytes]:
    async with contextlib.aclosing(stream.frames(feeds, of(run), listener())) as frames:
        for _ in range(count):
            yield await anext(frames)


async def test_however_many_watch_what_rang_is_read_and_encoded_once(site: Site) -> None:
    run = await site.seed(b"line")
    ear = Ear()
    with feeds_of(site).run(run.id, ear) as feed:
        await feed.ready()
        readers = [RunReader(feed, Cursor(line=1)) for _ in range(50)]
        for reader in readers:
            while await reader.read_on():
                pass
        await site.print(run.id, b"another")
        while b"lines" not in (got := readers[0].next()):
            await ear.wait()
        assert parse(got.rstrip(b"\n").rsplit(b"\n\n", 1)[-1]).numbers == [2]
        # Not only equal: the same bytes go to all of them.
        for reader in readers[1:]:
            while b"lines" not in (other := reader.next()):
                pass
            assert other is got


async def test_a_reader_that_is_far_behind_holds_none_of_what_came_since(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_feed, "CHAINED_BYTES", 2000)
    run = await site.seed(b"line 1")
    with feeds_of(site).run(run.id, Ear()) as feed:
        await feed.ready()
        reader = RunReader(feed, Cursor())
        while await reader.read_on():
            pass
        behind = feed.head
        for number in range(2, 12):
            head = feed.head
            await site.print(run.id, b"x" * 500)
            await until(lambda head=head: is_behind(feed, head))  # type: ignore[misc]
            assert feed.head.cursor.line == number
        assert behind.next is None
        assert reader.next() == b""
        got: list[int] = []
        while news := await reader.read_on():
            got += parse(news.rstrip(b"\n")).numbers
        assert got == list(range(2, 12))


async def is_behind(feed: run_feed.RunFeed, head: run_feed.Head) -> bool:
    return feed.head is not head


async def test_what_one_feed_fails_with_is_told_to_its_readers_and_the_next_begins_anew(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await site.seed(b"line")

    async def broken(*_: object, **__: object) -> None:
        raise Broken("the record cannot be read")

    blocks = frames_of(stream.frames(feeds_of(site), of(run.id), listener()))
    async with contextlib.aclosing(blocks) as frames:
        assert await lines_until(frames, 1) == [1]
        with monkeypatch.context() as broke:
            broke.setattr(live_reading, "news_of", broken)
            await site.print(run.id, b"another")
            with pytest.raises(Broken):
                await next_named(frames, "nothing of this name")
    async with reading(site, f"/stream?run={run.id}") as frames:
        assert await lines_until(frames, 2) == [1, 2]


async def test_what_is_kept_for_other_readers_is_bounded(site: Site) -> None:
    run = await site.seed()
    for _ in range(12):
        await site.print(run.id, *[b"\x00" * 4096] * 256)
    feeds = feeds_of(site)
    with feeds.run(run.id, Ear()) as feed:
        await feed.ready()
        at = 0
        while (link := await feed.lines_after(at)) is not None:
            at = link.last
        assert at == 12 * 256
        assert feed._kept <= KEPT_BYTES
        assert sum(len(link.frame) for link in feed._links.values()) == feed._kept


async def test_the_last_reader_to_leave_takes_the_feed_with_it(site: Site) -> None:
    run = await site.seed(b"line")
    feeds = feeds_of(site)
    async with reading(site, f"/stream?run={run.id}") as one, reading(site, "/stream?wall=1") as two:
        assert (await anext(one)).name == (await anext(two)).name == "hello"
        assert feeds.readers == 2
        tasks = [shared.task for shared in feeds._shared.values()]
        assert len(tasks) == 3, "of the run, of the wall, of the header"

    async def gone() -> bool:
        return feeds.readers == 0

    await until(gone)
    assert feeds._shared == {}
    await asyncio.wait(tasks)  # What they are in the middle of storing or reading, they end first.
    assert all(task.cancelled() for task in tasks)
    assert not site.supervisor.doorbell._of_run
    assert len(site.supervisor.doorbell._all) == 1, "the wall's alone: it stays"


async def test_the_wall_sends_every_card_then_those_that_change(site: Site) -> None:
    run = await site.seed(b"hello from the run")
    async with reading(site, "/stream?wall=1") as frames:
        card = await next_named(frames, "card")
        assert card.data["run"] == run.id
        assert "hello from the run" in str(card.data["html"])
        assert (await next_named(frames, "queue")).data["html"]
        assert (await next_named(frames, "strip")).data["html"]
        await site.print(run.id, b"another line")
        changed = await next_named(frames, "card")
        assert "another line" in str(changed.data["html"])
        queued = await site.seed(state=RunState.QUEUED)
        site.supervisor.doorbell.ring(queued.id)
        while f"/runs/{queued.id}" not in str((await next_named(frames, "queue")).data["html"]):
            pass


async def sights(frames: AsyncIterator[Frame], *wanted: list[int]) -> None:
    """The wall shows exactly these runs, one set after the other."""
    for runs_wanted in wanted:
        while (await next_named(frames, "sight")).data["runs"] != runs_wanted:
            pass


async def test_a_run_that_is_on_the_wall_no_longer_is_left_out_of_what_it_shows(site: Site) -> None:
    run = await site.seed(b"hello")
    feeds = feeds_of(site)
    async with contextlib.aclosing(
        frames_of(stream.frames(feeds, Topics(walls=(WallTopic(key="1", query=WallQuery()),)), listener()))
    ) as frames:
        assert (await next_named(frames, "card")).data["run"] == run.id
        # It ended long ago, as far as the record knows.
        await runs.transition(
            site.db, run.id, RunState.RUNNING, RunState.ENDED, at=time.time() - 3600, outcome=Outcome.FAILED
        )
        site.supervisor.doorbell.ring(run.id)
        await sights(frames, [])


async def test_a_filtered_wall_gains_what_fits_and_loses_what_no_longer_does(site: Site) -> None:
    one, other = await site.seed(b"calm"), await site.seed(b"calm too")
    async with reading(site, "/stream?wall=state%3Dfrozen") as frames:
        await sights(frames, [])
        for run in (other, one):
            await runs.transition(site.db, run.id, RunState.RUNNING, RunState.FROZEN, at=time.time())
            site.supervisor.doorbell.ring(run.id)
            assert (await next_named(frames, "card")).data["run"] == run.id
        tools = await next_named(frames, "tools")
        assert tools.data["wall"] == "state=frozen"
        assert "2 of 2 shown" in str(tools.data["html"])
        await runs.transition(site.db, other.id, RunState.FROZEN, RunState.RUNNING, at=time.time())
        site.supervisor.doorbell.ring(other.id)
        await sights(frames, [one.id])


async def test_walls_of_one_stream_are_told_apart_by_their_query(site: Site) -> None:
    frozen, running = await site.seed(state=RunState.FROZEN), await site.seed(b"line")
    async with reading(site, "/stream?wall=1&wall=state%3Drunning") as frames:
        sight = {}
        while len(sight) < 2:
            frame = await next_named(frames, "sight")
            sight[frame.data["wall"]] = frame.data["runs"]
    assert sight == {"1": [frozen.id, running.id], "state=running": [running.id]}


async def test_what_agents_write_never_leaves_the_server_for_who_wants_metadata_only(site: Site) -> None:
    await site.seed(b"ignore all that was said before")
    site.browser.cookies.set("crucible_words", "hidden")
    assert "ignore all" not in (await site.browser.get("/")).text
    async with reading(site, "/stream?wall=1") as frames:
        assert "ignore all" not in str((await next_named(frames, "card")).data["html"])
    answer = await site.post("/words", words="shown", next="/?sort=newest")
    assert (answer.status_code, answer.headers["location"]) == (303, "/?sort=newest")
    site.browser.cookies.delete("crucible_words", domain="")
    assert "ignore all" in (await site.browser.get("/")).text


async def test_who_has_a_run_in_sight_is_told_on_its_page_and_on_its_card(site: Site) -> None:
    run = await site.seed(b"line")
    async with reading(site, "/stream?wall=1") as wall:
        await next_named(wall, "card")
        async with reading(site, f"/stream?run={run.id}&wall=1&seen={run.id}") as frames:
            hello = await next_named(frames, "hello")
            assert "watching" in str((await next_named(frames, "panel")).data["html"])
            assert "Watching now: admin" in str((await next_named(wall, "card")).data["html"])
            answer = await site.post("/stream/seen", stream=str(hello.data["stream"]))
            assert answer.status_code == 204
            while "Watching now" in str((await next_named(wall, "card")).data["html"]):
                pass
            assert (await site.post("/stream/seen", stream="of someone else")).status_code == 404


async def test_what_was_printed_is_held_against_what_is_stored(site: Site) -> None:
    run = await site.seed(b"line", b"line")
    async with reading(site, f"/stream?run={run.id}") as frames:
        tally = await next_named(frames, "tally")
        assert tally.data == {
            "run": run.id, "printed": None, "stored": 10, "lines": 2, "lost": 0, "newest": 0.0,
        }  # fmt: skip
        await events.append(site.db, run.id, OutputLost(bytes=7, why="the test"), at=time.time())
        await events.append(site.db, run.id, OutputCounted(printed=10, stored=10), at=time.time())
        site.supervisor.doorbell.ring(run.id)
        tally = await next_named(frames, "tally")
        assert (tally.data["printed"], tally.data["stored"], tally.data["lost"]) == (17, 10, 7)


async def test_one_stream_brings_several_runs_and_the_wall_each_after_its_own_cursor(site: Site) -> None:
    one, other = await site.seed(b"1", b"2", b"3"), await site.seed(b"1", b"2")
    path = f"/stream?run={one.id}&after=0.2.0&run={other.id}&after=0.0.0&wall=1"
    got: dict[object, list[int]] = {one.id: [], other.id: []}
    async with reading(site, path) as frames:
        await next_named(frames, "queue")
        for lines in ((3, 2), (4, 3), (5, 4)):
            while [got[one.id][-1:], got[other.id][-1:]] != [[lines[0]], [lines[1]]]:
                frame = await next_named(frames, "lines")
                got[frame.data["run"]] += frame.numbers
            await site.print(one.id, b"more")
            await site.print(other.id, b"more")
        while str((await next_named(frames, "card")).data["run"]) != str(other.id):
            pass
    assert got == {one.id: [3, 4, 5], other.id: [1, 2, 3, 4]}


async def test_a_run_that_is_not_there_keeps_nothing_from_the_others(site: Site) -> None:
    run = await site.seed(b"line")
    async with reading(site, f"/stream?run=999&after=&run={run.id}&after=0.0.0") as frames:
        assert (await next_named(frames, "missing")).data == {"run": 999}
        assert await lines_until(frames, 1) == [1]


async def test_a_page_without_a_run_follows_the_header(site: Site) -> None:
    async with reading(site, "/stream?house=1") as frames:
        before = str((await next_named(frames, "strip")).data["html"])
        await site.seed(state=RunState.FROZEN)
        site.supervisor.doorbell.ring(Doorbell.HOUSE)
        assert str((await next_named(frames, "strip")).data["html"]) != before


async def test_fragments_of_a_stream_hold_no_token_and_nothing_for_htmx(site: Site) -> None:
    run = await site.seed(b"line")
    for path in (f"/stream?run={run.id}", "/stream?wall=1"):
        async with reading(site, path) as frames:
            await next_named(frames, "strip")
        async with reading(site, path) as frames:
            for _ in range(4):
                text = json.dumps((await anext(frames)).data)
                assert site.csrf not in text
                assert "hx-" not in text
                assert "nonce" not in text


async def test_a_stranger_gets_401_and_is_led_nowhere(site: Site) -> None:
    run = await site.seed()
    for path in (f"/stream?run={run.id}", "/stream?wall=1", "/stream?house=1", f"/api/v1/runs/{run.id}/stream"):
        answer = await site.stranger.get(path)
        assert answer.status_code == 401
        assert "location" not in answer.headers


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/stream", 400), ("/stream?run=999", 404), ("/stream?run=1&after=junk", 400), ("/stream?run=x", 400),
        ("/api/v1/runs/999/stream", 404), ("/stream?run=1&run=1&after=&after=", 400),
        ("/stream?run=1&run=2&after=0.0.0", 400), ("/stream?wall=1&run=1&after=junk", 400),
    ],
)  # fmt: skip
async def test_a_stream_of_nothing_is_refused_before_it_begins(site: Site, path: str, status: int) -> None:
    await site.seed()
    assert (await site.browser.get(path)).status_code == status


async def test_head_on_a_stream_ends(site: Site) -> None:
    run = await site.seed()
    answer = await site.browser.head(f"/stream?run={run.id}")
    assert answer.status_code == 200
    assert feeds_of(site).readers == 0


async def test_too_many_readers_are_turned_away_and_stops_are_not(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    run = await site.seed()
    monkeypatch.setattr(feeds_module, "MOST_READERS", 1)
    async with reading(site, "/stream?wall=1") as frames:
        await anext(frames)
        assert (await site.browser.get(f"/stream?run={run.id}")).status_code == 503
        assert (await site.post("/stop-all", confirm="yes")).status_code == 303


def test_a_thousand_may_watch() -> None:
    assert MOST_READERS > 1000


async def test_a_session_that_ends_ends_its_streams(site: Site) -> None:
    run = await site.seed()

    async def may_read() -> bool:
        return await accounts.session(site.db, site.cookie, now=time.time()) is not None

    watching = listener(may_read=may_read, check_seconds=0.0)
    async with contextlib.aclosing(frames_of(stream.frames(feeds_of(site), of(run.id), watching))) as frames:
        await next_named(frames, "panel")
        await accounts.end_session(site.db, site.cookie)
        assert (await next_named(frames, "bye")).data == {"why": "signed_out"}
        with pytest.raises(StopAsyncIteration):
            await anext(frames)


async def test_a_server_that_leaves_says_goodbye(site: Site) -> None:
    run = await site.seed()
    async with reading(site, f"/stream?run={run.id}") as one, reading(site, "/stream?wall=1") as two:
        await next_named(one, "strip")
        await next_named(two, "strip")
        site.server.should_exit = True
        assert (await next_named(one, "bye")).data == {"why": "shutdown"}
        assert (await next_named(two, "bye")).data == {"why": "shutdown"}
        assert [frame async for frame in one] == []


async def test_the_apis_stream_is_the_same_for_a_token(site: Site) -> None:
    run = await site.seed(b"line")
    user = await accounts.administrator(site.db)
    token = await accounts.create_token(site.db, user.id, "t" * 43, "t", at=time.time(), expires_at=None)
    headers = {"authorization": f"Bearer crc_{token.id}_{'t' * 43}"}
    async with site.stranger.stream("GET", f"/api/v1/runs/{run.id}/stream", headers=headers) as answer:
        frames = frames_of(answer.aiter_bytes())
        assert await lines_until(frames, 1) == [1]


async def test_a_reader_that_does_not_read_holds_up_nobody(site: Site) -> None:
    run = await site.seed(*[b"x" * 4000] * 2000)
    slow = httpx.AsyncClient(base_url=site.url, cookies={"crucible": site.cookie}, timeout=30)
    async with slow, slow.stream("GET", f"/stream?run={run.id}") as stuck:
        assert stuck.status_code == 200  # and then it never reads on
        async with reading(site, f"/stream?run={run.id}") as frames:
            assert await lines_until(frames, 2000) == list(range(1, 2001))
        assert (await site.post("/stop-all", confirm="yes")).status_code == 303


async def test_a_ring_that_comes_while_the_store_is_read_is_not_lost(site: Site) -> None:
    run = await site.seed()
    async with contextlib.aclosing(frames_of(stream.frames(feeds_of(site), of(run.id), listener()))) as frames:
        await next_named(frames, "strip")
        got: list[int] = []
        async with asyncio.TaskGroup() as group:
            group.create_task(print_without_pause(site, run.id, 60))
            while len(got) < 60:
                got += (await next_named(frames, "lines")).numbers
        assert got == list(range(1, 61))


async def print_without_pause(site: Site, run: int, count: int) -> None:
    for _ in range(count):
        await site.print(run, b"line")
        await anyio.lowlevel.checkpoint()


async def test_output_that_is_not_text_travels_as_visible_text(site: Site) -> None:
    run = await site.seed(b"\x1b[31mred\x1b[0m\r\x00\xff<script>", "\u202e\u2028".encode())
    async with reading(site, f"/stream?run={run.id}") as frames:
        rows = (await next_named(frames, "lines")).data["lines"]
    assert isinstance(rows, list)
    assert [row[3] for row in rows] == [
        [["red", "fg-1"], ["\\r\\x00\\xff", "esc"], ["<script>", ""]],
        [["\\u202e\\u2028", "esc"]],
    ]
    assert (await output.read(site.db, run.id, after=0))[0].data.endswith(b"\x00\xff<script>")
