"""Readers that keep up are sent to by their feeds: the same stream, and their own task sleeps."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator

import pytest
from starlette.types import Message

from app.domain.alerts import Category, Finding, Severity
from app.store import alerts, usage
from app.store.usage import UsagePoint
from app.web.live import feeds as feeds_module
from app.web.live import run_feed, stream
from app.web.live.ears import Ear
from app.web.live.readers import WallTopic
from app.web.live.reading import MOST_LINES
from app.web.live.stream import Listener, Topics
from app.web.live.wire import Wire
from app.web.wall_query import WallQuery
from tests.web.conftest import Site, until
from tests.web.test_stream import Frame, feeds_of, listener, of, parse


class Watching:
    """A stream with a wire, both of which end in one list; `full` is a connection that takes nothing more."""

    def __init__(self, site: Site, topics: Topics, who: Listener) -> None:
        self.room = asyncio.Event()
        self.room.set()
        self.chunks: list[tuple[str, bytes]] = []  #: who sent it, "feed" or "task"
        wire = Wire()
        wire.connect(self._send)
        self._frames = stream.frames(feeds_of(site), topics, who, wire)
        self.task = asyncio.create_task(self._read())

    async def _send(self, message: Message) -> None:
        await self._room()
        self.chunks.append(("task" if asyncio.current_task() is self.task else "feed", message["body"]))

    async def _room(self) -> None:
        if not self.room.is_set():
            await self.room.wait()

    async def _read(self) -> None:
        async for frame in self._frames:
            await self._room()
            self.chunks.append(("task", frame))

    @property
    def frames(self) -> list[Frame]:
        blocks = b"".join(chunk for _, chunk in self.chunks).split(b"\n\n")
        return [parse(block) for block in blocks if block]

    @property
    def lines(self) -> list[int]:
        return [number for frame in self.frames if frame.name == "lines" for number in frame.numbers]

    def senders(self, event: bytes) -> set[str]:
        return {sender for sender, chunk in self.chunks if b"event: " + event in chunk}

    async def has(self, line: int) -> None:
        async def there() -> bool:
            if self.task.done():
                self.task.result()
            return self.lines[-1:] == [line]

        await until(there)

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})
        await self._frames.aclose()


@contextlib.asynccontextmanager
async def watching(site: Site, topics: Topics, who: Listener | None = None) -> AsyncIterator[Watching]:
    one = Watching(site, topics, who or listener(check_seconds=1e9))
    try:
        yield one
    finally:
        await one.close()


async def test_a_reader_that_keeps_up_is_sent_every_line_by_the_feed_and_sleeps(site: Site) -> None:
    run = await site.seed(b"line 1")
    async with watching(site, of(run.id)) as one:
        await one.has(1)
        before = len(one.chunks)
        for number in range(2, 12):
            await site.print(run.id, b"line")
            await one.has(number)
        assert one.lines == list(range(1, 12))
        assert {sender for sender, chunk in one.chunks[before:] if b"event: lines" in chunk} == {"feed"}


async def test_heartbeats_come_without_the_readers_task(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds_module, "BEAT_SECONDS", 0.2)
    run = await site.seed(b"line 1")
    async with watching(site, of(run.id)) as one:
        await until(lambda: count_of(one, "hb", 4))
        assert "feed" in one.senders(b"hb")


async def count_of(one: Watching, name: str, count: int) -> bool:
    return sum(frame.name == name for frame in one.frames) >= count


async def test_a_connection_that_is_full_keeps_its_order_and_holds_up_no_other(site: Site) -> None:
    run = await site.seed(b"line 1")
    async with watching(site, of(run.id)) as slow, watching(site, of(run.id)) as quick:
        await slow.has(1)
        await quick.has(1)
        slow.room.clear()
        for number in range(2, 30):
            await site.print(run.id, b"line")
            await quick.has(number)
        assert slow.lines == [1]
        slow.room.set()
        await slow.has(29)
        assert slow.lines == quick.lines == list(range(1, 30))
        await site.print(run.id, b"line")  # It keeps up again.
        await slow.has(30)
        assert slow.chunks[-1][0] == "feed"


async def test_who_takes_nothing_for_too_long_is_let_go_though_the_feed_sent_to_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds_module, "BEAT_SECONDS", 0.1)
    run = await site.seed(b"line 1")
    async with watching(site, of(run.id), listener(patience=0.3)) as stuck, watching(site, of(run.id)) as other:
        await stuck.has(1)
        await other.has(1)
        stuck.room.clear()
        await site.print(run.id, b"line")
        await until(lambda: is_done(stuck.task))
        assert stuck.task.cancelled()
        assert stuck.lines == [1]
        await other.has(2)


async def is_done(task: asyncio.Task[None]) -> bool:
    return task.done()


async def test_an_alert_still_goes_before_the_lines_that_came_with_it(site: Site) -> None:
    run = await site.seed(b"line 1")
    finding = Finding(
        rule="hides", category=Category.DECEPTION, severity=Severity.HIGH, title="Hides", response="Look", line=1
    )
    async with watching(site, of(run.id)) as one:
        await one.has(1)
        before = len(one.frames)
        await alerts.record(site.db, run.id, finding, at=time.time(), action="notified")
        await site.print(run.id, b"line")
        await one.has(2)
        names = [frame.name for frame in one.frames[before:] if frame.name in ("alerts", "lines")]
        assert names == ["alerts", "lines"]
        assert one.senders(b"alerts") == {"task", "feed"}  # First as it came, then as it changed.


async def test_who_may_no_longer_read_is_told_so_by_its_own_task(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds_module, "BEAT_SECONDS", 0.1)
    allowed = True

    async def may_read() -> bool:
        await asyncio.sleep(0)
        return allowed

    run = await site.seed(b"line 1")
    async with watching(site, of(run.id), listener(may_read=may_read, check_seconds=0.0)) as one:
        await one.has(1)
        allowed = False
        await one.task
        assert one.frames[-1].data == {"why": "signed_out"}


async def test_a_reader_of_a_wall_and_a_run_gets_both(site: Site) -> None:
    run = await site.seed(b"line 1")
    topics = Topics(runs=of(run.id).runs, walls=(WallTopic(key="1", query=WallQuery()),))
    async with watching(site, topics) as one:
        await one.has(1)
        for number in range(2, 5):
            await until(lambda number=number: shows(one, f"line {number - 1}"))  # type: ignore[misc]
            await site.print(run.id, b"line %d" % number)
            await one.has(number)


async def shows(one: Watching, text: str) -> bool:
    return any(text in str(frame.data["html"]) for frame in one.frames if frame.name == "card")


async def test_more_than_goes_into_a_frame_is_read_on_by_the_readers_task(site: Site) -> None:
    run = await site.seed(b"line 1")
    async with watching(site, of(run.id)) as one:
        await one.has(1)
        await site.print(run.id, b"line")
        await one.has(2)
        assert one.chunks[-1][0] == "feed"  # It keeps up, and sleeps.
        await site.print(run.id, *[b"line"] * (MOST_LINES + 1))
        await one.has(MOST_LINES + 3)
        assert one.lines == list(range(1, MOST_LINES + 4))


async def test_usage_waits_for_lines_to_travel_with(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_feed, "WITH_NEWS_SECONDS", 3600.0)
    run = await site.seed(b"line 1")
    async with watching(site, of(run.id)) as one:
        await one.has(1)
        await add_usage(site, run.id)
        await until(lambda: usage_waits(site, run.id))
        assert one.senders(b"usage") == set()
        await site.print(run.id, b"line")
        await one.has(2)
        (chunk,) = [chunk for _, chunk in one.chunks if b"event: usage" in chunk]
        assert b"event: lines" in chunk


async def test_usage_comes_alone_when_there_is_nothing_else(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_feed, "PANEL_SECONDS", math.inf)
    run = await site.seed(b"line 1")
    async with watching(site, of(run.id)) as one:
        await one.has(1)
        await add_usage(site, run.id)
        await until(lambda: count_of(one, "usage", 1))


async def add_usage(site: Site, run: int) -> None:
    await usage.append(site.db, run, [UsagePoint(seq=1, at=1.0, cpu_mean=0.5, cpu_max=1.0, memory_bytes=1, pids=2)])
    site.supervisor.doorbell.ring(run)


async def usage_waits(site: Site, run: int) -> bool:
    """Whether the feed has read that there is usage, and told nobody."""
    with feeds_of(site).run(run, Ear()) as feed:
        return feed._usage_since is not None
