"""The host's end against a keeper that lies, stalls and breaks off. Against a real one: test_keeper.py."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sandbox_runner import frames
from sandbox_runner.driver import JobEnded, JobStarted, OutputChunk, Relayed, RelayLost, RelayRefused, Stream
from sandbox_runner.frames import Frame, Kind
from sandbox_runner.relay import HELLO_WITHIN, MOST_AT_ONCE, KeeperRelay
from sandbox_runner.spec import Job

READY = {"protocol": frames.PROTOCOL, "grace": 20.0, "base": 0, "produced": 0, "jobs": {"1": None}, "fed": {"1": 0}}
ENDED = b'{"event":"ended","code":0,"reason":""}'


class ScriptedWire:
    """The keeper's end is played by the test."""

    def __init__(self, *, resumed: bool = False) -> None:
        self.resumed = resumed
        self.sent = bytearray()
        self.stuck = 0
        self.closed = False
        self._coming: asyncio.Queue[bytes] = asyncio.Queue()

    async def receive(self) -> bytes:
        return await self._coming.get()

    def send(self, data: bytes) -> None:
        self.sent += data

    async def drain(self) -> None:
        await asyncio.sleep(0)

    def backlog(self) -> int:
        return self.stuck

    def last_words(self) -> str:
        return "a traceback"

    async def close(self) -> None:
        self.closed = True

    def play(self, *items: Frame | bytes) -> None:
        self._coming.put_nowait(b"".join(item if isinstance(item, bytes) else frames.encode(item) for item in items))

    def breaks(self) -> None:
        self._coming.put_nowait(b"")

    def said(self, kind: Kind) -> list[Frame]:
        return [frame for frame in frames.Decoder(tolerant=True).feed(bytes(self.sent)) if frame.kind == kind]

    async def nonce(self) -> bytes:
        while not self.said(Kind.HELLO):
            await asyncio.sleep(0)
        return bytes.fromhex(json.loads(self.said(Kind.HELLO)[0].payload)["nonce"])


def ready(**changes: Any) -> bytes:
    return frames.encode_json(Kind.READY, {**READY, **changes})


def data(payload: bytes, offset: int = 0, *, job: int = 1, stream: int = frames.STDOUT, time_us: int = 1) -> Frame:
    return Frame(Kind.DATA, payload, job, stream, offset, time_us)


@asynccontextmanager
async def opened(
    wire: ScriptedWire, answer: bytes = b"", *, acknowledged: int = 0, noise: bytes = b""
) -> AsyncIterator[KeeperRelay]:
    async def connect() -> ScriptedWire:
        return wire

    async def play() -> None:
        wire.play(noise + await wire.nonce() + (answer or ready()))

    player = asyncio.create_task(play())
    try:
        async with KeeperRelay(connect, acknowledged=acknowledged) as relay:
            yield relay
    finally:
        player.cancel()
        await asyncio.gather(player, return_exceptions=True)


async def heard(relay: KeeperRelay) -> tuple[list[Relayed], RelayLost | RelayRefused]:
    """Everything until the relay ends, and why it did."""
    items: list[Relayed] = []
    try:
        async for item in relay:
            items.append(item)  # noqa: PERF401  those before the error count
    except (RelayLost, RelayRefused) as error:
        return items, error
    raise AssertionError("iterating a relay never ends by itself")


async def test_frames_become_what_happened() -> None:
    started = b'{"event":"started","pid":12}'
    wire = ScriptedWire()
    async with opened(wire) as relay:
        wire.play(
            data(started, 0, stream=frames.NOTICE),
            data(b"out", 28, time_us=1_500_000),
            Frame(Kind.ALIVE, offset=31),
            data(b"{}", 31, stream=frames.RESULT),
            data(ENDED, 33, stream=frames.NOTICE),
        )
        wire.breaks()
        items, error = await heard(relay)
    assert items == [
        JobStarted(offset=0, size=28, job=1, pid=12, at=1e-6),
        OutputChunk(offset=28, job=1, stream=Stream.STDOUT, data=b"out", at=1.5),
        OutputChunk(offset=31, job=1, stream=Stream.RESULT, data=b"{}", at=1e-6),
        JobEnded(offset=33, size=len(ENDED), job=1, code=0, reason="", at=1e-6),
    ]
    assert isinstance(error, RelayLost)
    assert "a traceback" in str(error)
    assert wire.closed


async def test_what_an_earlier_connection_left_on_its_way_is_thrown_away() -> None:
    wire = ScriptedWire(resumed=True)
    noise = frames.encode(data(b"old" * 1000, 77))[11:] + bytes(300_000)
    async with opened(wire, ready(base=50, produced=100), acknowledged=60, noise=noise) as relay:
        assert bytes(wire.sent).startswith(frames.RESYNC)
        wire.play(data(b"new", 60))
        assert (await anext(aiter(relay))).offset == 60


@pytest.mark.parametrize(
    "answer",
    [
        ready(protocol=frames.PROTOCOL + 1),
        ready(protocol="1"),
        ready(base=6, produced=9),
        ready(base=0, produced=4),
        ready(base=-1),
        ready(jobs=[]),
        ready(jobs={"one": 1}),
        ready(jobs={"1": 256}),
        ready(jobs={"٣": 1}),
        ready(fed={"1": None}),
        ready(grace=0),
        ready(grace="20"),
        frames.encode(Frame(Kind.DATA, b"x", 1, 1)),
        frames.encode(Frame(Kind.READY, b"[" * 60_000)),
        b"no frame at all, but long enough to be one",
    ],
)
async def test_an_answer_that_is_not_the_keepers_is_refused_and_the_wire_closed(answer: bytes) -> None:
    wire = ScriptedWire()
    with pytest.raises(RelayRefused):
        async with opened(wire, answer, acknowledged=5):
            pass
    assert wire.closed


@pytest.mark.parametrize(
    "lie",
    [
        [data(b"x", 1)],
        [data(b"x", 0), data(b"y", 0)],
        [data(b"")],
        [data(b"x", job=2)],
        [data(b"x", stream=0)],
        [data(b"x", stream=5)],
        [data(b"x", time_us=2**64 - 1)],
        [data(b"{}", stream=frames.NOTICE)],
        [data(b'{"event":"started","pid":0}', stream=frames.NOTICE)],
        [data(b'{"event":"ended","code":256,"reason":""}', stream=frames.NOTICE)],
        [data(b'{"event":"ended","code":0,"reason":1}', stream=frames.NOTICE)],
        [data(b'{"event":"ended","code":0,"reason":"' + b"x" * 20_000 + b'"}', stream=frames.NOTICE)],
        [Frame(Kind.FED, job=1, offset=1)],
        [Frame(Kind.HELLO)],
        [Frame(99)],
        [Frame(Kind.FAULT, b"could not")],
        [frames.encode(data(b"data"))[:-1] + b"!"],
        [bytes(100)],
    ],
)
async def test_the_first_thing_that_cannot_be_ends_the_relay(lie: Sequence[Frame | bytes]) -> None:
    wire = ScriptedWire()
    async with opened(wire) as relay:
        wire.play(*lie)
        _, error = await heard(relay)
        assert isinstance(error, RelayRefused)
        assert wire.closed
        with pytest.raises(RelayRefused):
            await relay.run(Job(id=2, name="n", argv=("true",)))


async def test_a_keeper_gets_no_more_credit_than_a_window() -> None:
    wire = ScriptedWire()
    async with opened(wire) as relay:
        for offset in range(0, 10 * frames.WINDOW, frames.MAX_PAYLOAD):
            wire.play(data(bytes(frames.MAX_PAYLOAD), offset))
        items, error = await heard(relay)
    assert isinstance(error, RelayRefused)
    assert sum(len(item.data) for item in items if isinstance(item, OutputChunk)) <= frames.WINDOW + frames.SLACK


async def test_a_keeper_cannot_fill_the_memory_with_tiny_frames() -> None:
    wire = ScriptedWire()
    async with opened(wire) as relay:
        wire.play(*(data(b"x", offset) for offset in range(2 * frames.MAX_KEPT)))
        items, error = await heard(relay)
    assert isinstance(error, RelayRefused)
    assert len(items) <= frames.MAX_KEPT + 100


async def test_credit_is_given_for_what_is_acknowledged_and_never_taken_back() -> None:
    wire = ScriptedWire()
    async with opened(wire) as relay:
        wire.play(data(b"0123456789"))
        await anext(aiter(relay))
        relay.acknowledge(10)
        relay.acknowledge(4)
        with pytest.raises(ValueError, match="11"):
            relay.acknowledge(11)
        assert [frame.offset for frame in wire.said(Kind.CREDIT)] == [10]


@pytest.mark.looptime
async def test_credit_that_could_not_be_sent_follows_with_a_heartbeat() -> None:
    wire = ScriptedWire()
    async with opened(wire) as relay:
        wire.play(data(b"0123456789"))
        await anext(aiter(relay))
        wire.stuck = 10**6
        relay.acknowledge(10)
        await asyncio.sleep(5)
        assert wire.said(Kind.CREDIT) == []
        wire.stuck = 0
        await asyncio.sleep(2)
        assert [frame.offset for frame in wire.said(Kind.CREDIT)] == [10]


@pytest.mark.looptime
async def test_heartbeats_flow_while_it_is_open_but_do_not_pile_up_before_a_frozen_sandbox() -> None:
    wire = ScriptedWire()
    async with opened(wire, ready(grace=2.0)):
        await asyncio.sleep(10.1)
        assert len(wire.said(Kind.BEAT)) == 21
        wire.stuck = 10**6
        await asyncio.sleep(1000)
        assert len(wire.said(Kind.BEAT)) == 21
    await asyncio.sleep(100)
    assert len(wire.said(Kind.BEAT)) == 21


@pytest.mark.looptime
async def test_a_keeper_that_does_not_answer_is_lost_in_time() -> None:
    wire = ScriptedWire()

    async def connect() -> ScriptedWire:
        return wire

    begun = asyncio.get_running_loop().time()
    with pytest.raises(RelayLost, match="did not answer"):
        async with KeeperRelay(connect):
            pass
    assert asyncio.get_running_loop().time() - begun == pytest.approx(HELLO_WITHIN)
    assert wire.closed


async def test_a_keeper_that_talks_without_answering_is_refused() -> None:
    wire = ScriptedWire()
    for _ in range(70):
        wire.play(bytes(1024 * 1024))

    async def connect() -> ScriptedWire:
        return wire

    with pytest.raises(RelayRefused, match="without answering"):
        async with KeeperRelay(connect):
            pass


async def _stuck(wire: ScriptedWire) -> None:
    """Once nothing more is sent."""
    before = -1
    while len(wire.sent) != before:
        before = len(wire.sent)
        for _ in range(5):
            await asyncio.sleep(0)


async def test_feeding_waits_until_the_pipe_has_taken_it_and_at_most_so_much_is_under_way() -> None:
    wire = ScriptedWire()
    async with opened(wire) as relay:
        feeding = asyncio.create_task(relay.feed(1, bytes(1_000_000)))
        used = 0
        while used < 1_000_000:
            await _stuck(wire)
            sent = sum(len(frame.payload) for frame in wire.said(Kind.FEED))
            assert 0 < sent - used <= 256 * 1024
            assert not feeding.done()
            used = sent
            wire.play(Frame(Kind.FED, job=1, offset=used))
            await asyncio.sleep(0)
        await feeding
        assert [frame.offset for frame in wire.said(Kind.FEED)][-1] < 1_000_000


@pytest.mark.parametrize("how", ["ends", "breaks"])
async def test_feeding_does_not_outlive_the_job_or_the_connection(how: str) -> None:
    wire = ScriptedWire()
    async with opened(wire) as relay:
        feeding = asyncio.create_task(relay.feed(1, bytes(1_000_000)))
        await _stuck(wire)
        if how == "ends":
            wire.play(data(ENDED, stream=frames.NOTICE))
            await feeding
        else:
            wire.breaks()
            with pytest.raises(RelayLost):
                await feeding


async def test_what_cannot_be_started_or_fed_is_said_at_once() -> None:
    wire = ScriptedWire()
    async with opened(wire) as relay:
        with pytest.raises(RelayRefused, match="job 2"):
            await relay.run(Job(id=2, name="second", argv=("true",)))  # job 1 still runs
        with pytest.raises(RelayRefused, match="never started"):
            await relay.feed(3, b"x")
        wire.play(data(ENDED, stream=frames.NOTICE))
        await anext(aiter(relay))
        with pytest.raises(ValueError, match="big"):
            await relay.run(Job(id=3, name="big", argv=("x" * 70_000,)))
        await relay.run(Job(id=3, name="third", argv=("true",)))
        assert len(wire.said(Kind.START)) == 1


async def test_a_relay_that_is_not_open_says_so() -> None:
    async def connect() -> ScriptedWire:
        raise AssertionError("never called")

    relay = KeeperRelay(connect)
    with pytest.raises(RelayLost):
        _ = relay.state
    with pytest.raises(RelayLost):
        await relay.feed(1, b"")


async def test_a_closed_relay_still_gives_what_it_had_received() -> None:
    wire = ScriptedWire()
    async with opened(wire) as relay:
        wire.play(data(b"last"))
        while not relay._queue:
            await asyncio.sleep(0)
    items, error = await heard(relay)
    assert len(items) == 1
    assert isinstance(error, RelayLost)


async def test_what_the_keeper_says_it_made_is_known_before_it_arrives_and_never_goes_back() -> None:
    wire = ScriptedWire()
    async with opened(wire, ready(produced=40)) as relay:
        assert relay.produced == 40
        wire.play(Frame(Kind.ALIVE, offset=90), Frame(Kind.ALIVE, offset=60), data(b"x" * 70))
        await anext(aiter(relay))
        assert relay.produced == 90
        wire.play(data(b"x" * 30, 70))
        await anext(aiter(relay))
        assert relay.produced == 100


async def test_a_keeper_that_sends_heartbeats_without_end_is_refused() -> None:
    wire = ScriptedWire()
    async with opened(wire) as relay:
        wire.play(*(Frame(Kind.ALIVE, offset=0) for _ in range(5000)))
        _, error = await heard(relay)
    assert isinstance(error, RelayRefused)
    assert "heartbeats without end" in str(error)
    assert wire.closed


@pytest.mark.parametrize(
    ("offsets", "complaint"), [([1, 1], "was not fed"), ([*range(1, 4000)], "too many crumbs")], ids=["again", "crumbs"]
)
async def test_a_keeper_that_tells_of_input_again_and_again_is_refused(offsets: list[int], complaint: str) -> None:
    wire = ScriptedWire()
    async with opened(wire) as relay:
        feeding = asyncio.create_task(relay.feed(1, bytes(4000)))
        while not wire.said(Kind.FEED):
            await asyncio.sleep(0)
        wire.play(*(Frame(Kind.FED, job=1, offset=offset) for offset in offsets))
        _, error = await heard(relay)
        await asyncio.gather(feeding, return_exceptions=True)
    assert isinstance(error, RelayRefused)
    assert complaint in str(error)


async def test_many_tiny_frames_at_once_give_everybody_else_a_turn() -> None:
    wire, turns, over = ScriptedWire(), 0, asyncio.Event()

    async def somebody_else() -> None:
        nonlocal turns
        while not over.is_set():
            turns += 1
            await asyncio.sleep(0)

    async with opened(wire) as relay:
        other = asyncio.create_task(somebody_else())
        wire.play(*(data(b"x", offset) for offset in range(frames.MAX_KEPT)))
        wire.play(Frame(99))
        items, _ = await heard(relay)
        over.set()
        await other
    assert len(items) == frames.MAX_KEPT, "none is left out"
    assert turns > frames.MAX_KEPT // MOST_AT_ONCE
