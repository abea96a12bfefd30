"""Many readers, slow ones and a server that goes: each gets every line once, and comes back no oftener than it must."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator

import httpx
import pytest

from app.domain.runs import EvaluationRequest, RunState
from app.settings import Settings
from app.store import accounts, output, runs
from app.store.database import Database, sqlite_url
from app.store.output import StoredLine
from app.web.live import feeds
from app.web.pages import streams
from app.web.server import Server
from sandbox_runner.fake_driver import FakeDriver
from tests.web.conftest import Site, knobs, serving, until
from tests.web.test_stream import feeds_of, frames_of, lines_until, next_named, reading

READERS = 50


async def test_a_heartbeat_tells_how_far_the_reader_is_in_each_of_its_runs(site: Site) -> None:
    one, other = await site.seed(b"1", b"2", b"3"), await site.seed(b"1")
    path = f"/stream?run={one.id}&after=0.1.0&run={other.id}&after=0.0.0"
    async with reading(site, path) as frames:
        beat = await next_named(frames, "hb")
    cursors = beat.data["cursors"]
    assert isinstance(cursors, dict)
    assert {run: cursor.split(".")[1] for run, cursor in cursors.items()} == {str(one.id): "3", str(other.id): "1"}
    assert abs(float(str(beat.data["now"])) - time.time()) < 60


async def test_a_reader_that_stopped_reading_is_let_go_and_comes_back_without_gap_or_double(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "SEND_SECONDS", 0.5)
    monkeypatch.setattr(feeds, "BEAT_SECONDS", 0.2)
    run = await site.seed()
    for _ in range(40):
        await site.print(run.id, *[b"x" * 4000] * 200)  # More than any buffer between them holds.
    async with never_read(site, run.id) as stuck:
        loop = asyncio.get_running_loop()
        await until(lambda: watched(site, 1))
        async with reading(site, f"/stream?run={run.id}&after=0.7999.0") as frames:
            assert await lines_until(frames, 8000) == [8000]
            await until(lambda: watched(site, 1))  # It alone is left, and is not held up.
            await site.print(run.id, b"after")
            assert await lines_until(frames, 8001) == [8001]
        received = b""
        while part := await loop.sock_recv(stuck, 1 << 20):
            received += part
    ids = [line[4:] for line in received.split(b"\n\n", -1)[-2].split(b"\n") if line.startswith(b"id: ")]
    seen = int(ids[-1].split(b".")[1])
    assert 0 < seen < 8000
    async with reading(site, f"/stream?run={run.id}", **{"last-event-id": ids[-1].decode()}) as frames:
        assert await lines_until(frames, 8001) == list(range(seen + 1, 8002))


@contextlib.asynccontextmanager
async def never_read(site: Site, run: int) -> AsyncIterator[socket.socket]:
    """Someone who asks for a stream and then reads nothing."""
    with socket.socket() as stuck:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        stuck.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(stuck, ("127.0.0.1", int(site.url.rsplit(":", 1)[1])))
        head = f"GET /stream?run={run} HTTP/1.0\r\nHost: 127.0.0.1\r\nCookie: crucible={site.cookie}\r\n\r\n"
        await loop.sock_sendall(stuck, head.encode())
        yield stuck


async def test_a_server_that_leaves_waits_for_deaths_and_not_for_who_does_not_read(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    driver = FakeDriver(knobs(run_for=1e9))
    async with contextlib.AsyncExitStack() as stack:
        async with serving(settings, driver) as (server, url):
            browser = await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=60))
            site = site_of(server, url, driver, browser)
            run = await a_run(site)
            for _ in range(40):
                await site.print(run, *[b"x" * 4000] * 200)
            await site.supervisor.release(actor="test", text="the test wants it to run")
            live = await site.supervisor.submit(EvaluationRequest(suite="tiny"), actor="test")
            await until(lambda: is_live(site, live.id))
            stuck = [await stack.enter_async_context(never_read(site, run)) for _ in range(3)]
            reader = await stack.enter_async_context(reading(site, f"/stream?run={run}&after=0.7999.0"))
            assert await lines_until(reader, 8000) == [8000]
            await until(lambda: stuck_are(site, 3))
            server.should_exit = True
            assert (await next_named(reader, "bye")).data == {"why": "shutdown"}
        # uvicorn says so when it has waited for its own time limit.
        assert "graceful shutdown exceeded" not in caplog.text
        for one in stuck:
            assert await is_cut(one)
    db = await Database.open(sqlite_url(settings.data))
    try:
        assert {each.state for each in await runs.select(db, evaluation=live.id)} == {RunState.ENDED}
    finally:
        await db.close()


async def is_live(site: Site, evaluation: int) -> bool:
    states = {run.state for run in await runs.select(site.db, evaluation=evaluation)}
    return states == {RunState.RUNNING}


async def stuck_are(site: Site, count: int) -> bool:
    """Whether the server holds frames for so many that do not take them."""
    return sum(connection.flow.write_paused for connection in site.server.server_state.connections) == count


async def is_cut(one: socket.socket) -> bool:
    """Whether the other end has hung up, once what it sent before is read."""
    try:
        while await asyncio.get_running_loop().sock_recv(one, 1 << 20):
            pass
    except ConnectionResetError:
        return True
    return True


async def watched(site: Site, count: int) -> bool:
    return feeds_of(site).readers == count


async def test_fifty_readers_come_back_once_to_a_restarted_server_and_none_misses_a_line(settings: Settings) -> None:
    driver, place = FakeDriver(knobs()), asyncio.Condition()
    address = ""
    got: dict[int, list[int]] = {number: [] for number in range(READERS)}
    connects = [0] * READERS

    async def read(number: int) -> None:
        nonlocal address
        last, here = "0.0.0", ""
        while not got[number] or got[number][-1] < 60:
            async with place:
                await place.wait_for(lambda: address not in ("", here))  # noqa: B023 it is this very round's
                here = address
            connects[number] += 1
            headers = {"cookie": f"crucible={'s' * 43}", "last-event-id": last}
            async with httpx.AsyncClient(timeout=60) as client, client.stream("GET", here, headers=headers) as answer:
                assert answer.status_code == 200
                async for frame in frames_of(answer.aiter_bytes()):
                    last = frame.id or last
                    if frame.name == "lines":
                        got[number] += frame.numbers
                    if got[number][-1:] == [60]:
                        break

    async with asyncio.TaskGroup() as group:
        for number in range(READERS):
            group.create_task(read(number))
        for first in (1, 31):
            async with serving(settings, driver) as (server, url):
                state = server.lifespan.state
                db, doorbell = state["db"], state["supervisor"].doorbell
                if first == 1:
                    async with httpx.AsyncClient() as browser:
                        run = await a_run(site_of(server, url, driver, browser))
                async with place:
                    address = f"{url}/stream?run={run}"
                    place.notify_all()
                for line in range(first, first + 30):
                    stored = StoredLine(number=line, at=time.time(), stream=1, data=b"line", complete=True)
                    await output.append(db, run, [stored])
                    doorbell.ring(run)
                    await asyncio.sleep(0.01)
                if first == 1:
                    await until(lambda: everyone_has(got, 15), within=60)  # Cut in the middle, not before.
                else:
                    await until(lambda: everyone_has(got, 60), within=60)
    assert all(numbers == list(range(1, 61)) for numbers in got.values())
    assert set(connects) == {2}


async def everyone_has(got: dict[int, list[int]], line: int) -> bool:
    return all(numbers and numbers[-1] >= line for numbers in got.values())


def site_of(server: Server, url: str, driver: FakeDriver, browser: httpx.AsyncClient) -> Site:
    browser.cookies.set("crucible", "s" * 43)
    return Site(url=url, server=server, driver=driver, browser=browser, stranger=browser, csrf="", cookie="s" * 43)


async def a_run(site: Site) -> int:
    """A running run that nobody plays, and a session."""
    user = await accounts.administrator(site.db)
    await accounts.create_session(site.db, user.id, site.cookie, "c" * 43, expires_at=time.time() + 3600)
    return (await site.seed()).id


async def test_a_program_resumes_with_the_ids_it_was_given(site: Site) -> None:
    run = await site.seed(*[b"line"] * 250)
    user = await accounts.administrator(site.db)
    token = await accounts.create_token(site.db, user.id, "t" * 43, "t", at=time.time(), expires_at=None)
    headers = {"authorization": f"Bearer crc_{token.id}_{'t' * 43}"}
    path = f"/api/v1/runs/{run.id}/stream"
    async with site.stranger.stream("GET", path, headers=headers) as answer:
        frame = await next_named(frames_of(answer.aiter_bytes()), "lines")
        assert frame.numbers[0] == 1
    async with site.stranger.stream("GET", path, headers={**headers, "last-event-id": frame.id}) as answer:
        rest = await lines_until(frames_of(answer.aiter_bytes()), 250)
    assert [*frame.numbers, *rest] == list(range(1, 251))
    # The id of each frame of output is the cursor after it, and `after` takes it as well.
    async with site.stranger.stream("GET", f"{path}?after={frame.id}", headers=headers) as answer:
        assert await lines_until(frames_of(answer.aiter_bytes()), 250) == rest
