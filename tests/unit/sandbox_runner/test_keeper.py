"""The keeper as a child process; what needs a container is in tests/contract and tests/docker."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import itertools
import json
import os
import random
import signal
import sys
import time

import pytest

from sandbox_runner import frames
from sandbox_runner.driver import JobEnded, JobStarted, OutputChunk, Relayed, Stream, end_of
from sandbox_runner.frames import BEAT, Frame, Kind
from sandbox_runner.relay import KeeperRelay
from sandbox_runner.spec import Job
from tests.unit.sandbox_runner.keeper_process import KeeperProcess, job, order, running_keeper, until

BEAT_FRAME = Frame(Kind.BEAT, BEAT.pack(0, 0))


async def _relayed(relay: KeeperRelay, *, acknowledging: bool = True) -> list[Relayed]:
    """Everything to the end of the job, acknowledged."""
    heard: list[Relayed] = []
    async with asyncio.timeout(30):
        async for item in relay:
            heard.append(item)
            if acknowledging:
                relay.acknowledge(end_of(item))
            if isinstance(item, JobEnded):
                break
    return heard


def _bytes(heard: list[Relayed], stream: Stream = Stream.STDOUT) -> bytes:
    return b"".join(item.data for item in heard if isinstance(item, OutputChunk) and item.stream is stream)


async def _run(wanted: Job) -> list[Relayed]:
    async with running_keeper() as keeper, keeper.relay() as relay:
        await relay.run(wanted)
        return await _relayed(relay)


async def test_what_a_job_writes_comes_in_order_with_its_stream_and_time() -> None:
    before = time.time()
    heard = await _run(job(7, "sh", "-c", "echo out; sleep 0.1; echo err >&2; sleep 0.1; printf rest; exit 5"))
    assert isinstance(heard[0], JobStarted)
    assert isinstance(heard[-1], JobEnded)
    assert (heard[-1].job, heard[-1].code, heard[-1].reason) == (7, 5, "")
    assert _bytes(heard) == b"out\nrest"
    assert _bytes(heard, Stream.STDERR) == b"err\n"
    times = [item.at for item in heard]
    assert times == sorted(times)
    assert before - 1 < times[0] < times[-1] < time.time() + 1
    for one, next_one in itertools.pairwise(heard):
        assert end_of(one) == next_one.offset


async def test_a_job_gets_its_own_environment_and_nothing_of_the_keepers() -> None:
    heard = await _run(job(1, "env", "-0", TOLD="it was"))
    names = dict(line.split(b"=", 1) for line in _bytes(heard).rstrip(b"\0").split(b"\0"))
    assert names.keys() == {b"PATH", b"HOME", b"TOLD"}
    assert names[b"TOLD"] == b"it was"


async def test_a_job_holds_its_pipes_and_no_descriptor_that_leaked_into_the_keeper() -> None:
    code = "import os; print(sorted(int(n) for n in os.listdir('/proc/self/fd')))"
    leaks = [os.open("/dev/null", os.O_RDONLY)]
    leaks += [fcntl.fcntl(leaks[0], fcntl.F_DUPFD_CLOEXEC, low) for low in (20, 31, 33, 500)]
    try:
        async with running_keeper(leaks=leaks) as keeper, keeper.relay() as relay:
            await relay.run(job(1, sys.executable, "-c", code))
            assert _bytes(await _relayed(relay)) == b"[0, 1, 2, 3]\n"  # 3 reads the folder itself
    finally:
        for leak in leaks:
            os.close(leak)


async def test_an_agents_job_has_no_capability_of_any_kind() -> None:
    status = _bytes(await _run(job(1, "cat", "/proc/self/status"))).decode()
    sets = dict(line.split(":\t") for line in status.splitlines() if line.startswith("Cap"))
    given_up = ["CapInh", "CapPrm", "CapEff", "CapAmb"]
    if os.getuid() == 0:  # nobody else has the right to give up what was never had
        given_up.append("CapBnd")
        assert "Uid:\t1000\t1000\t1000\t1000" in status
        assert "Groups:\t \n" in status
    assert {name: sets[name] for name in given_up} == dict.fromkeys(given_up, "0" * 16)
    assert "NoNewPrivs:\t1" in status


async def test_the_result_has_a_pipe_of_its_own() -> None:
    heard = await _run(job(1, "sh", "-c", 'echo shown; echo kept >&"$CRUCIBLE_RESULT_FD"', result=True))
    assert _bytes(heard, Stream.RESULT) == b"kept\n"
    assert _bytes(heard) == b"shown\n"


async def test_a_job_can_open_its_output_by_name() -> None:
    assert _bytes(await _run(job(1, "sh", "-c", "echo named >/dev/stdout"))) == b"named\n"


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (job(1, "no-such-program"), "no-such-program: No such file or directory"),
        (job(1, "/etc/passwd"), "/etc/passwd: Permission denied"),
        (job(1, "true", cwd="/no/such/place"), "/no/such/place"),
    ],
)
async def test_a_job_that_cannot_be_started_ends_with_127_and_the_reason(wanted: Job, reason: str) -> None:
    (ended,) = await _run(wanted)
    assert isinstance(ended, JobEnded)
    assert ended.code == 127
    assert reason in ended.reason


async def test_a_signal_that_ends_a_job_is_in_its_code() -> None:
    assert (await _run(job(1, "sh", "-c", "kill -TERM $$")))[-1].code == 128 + signal.SIGTERM  # type: ignore[union-attr]


async def test_a_job_is_signalled_on_request() -> None:
    async with running_keeper() as keeper, keeper.relay() as relay:
        await relay.run(job(1, "sleep", "600"))
        await relay.signal(1, signal.SIGUSR1)
        ended = (await _relayed(relay))[-1]
        assert isinstance(ended, JobEnded)
        assert ended.code == 128 + signal.SIGUSR1
        await relay.signal(1, signal.SIGUSR1)  # it has ended: nothing happens
        await relay.run(job(2, "true"))
        assert isinstance((await _relayed(relay))[-1], JobEnded)


async def test_what_is_fed_arrives_whole_and_ends_with_the_end() -> None:
    data = random.Random(3).randbytes(2_000_000)
    async with running_keeper() as keeper, keeper.relay() as relay:
        await relay.run(job(1, "sha256sum", stdin=True))
        await relay.feed(1, data)
        await relay.feed(1, b"")
        heard = await _relayed(relay)
    assert _bytes(heard).split()[0].decode() == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("offset", [0, 4])
async def test_what_is_fed_out_of_order_is_refused(offset: int) -> None:
    async with running_keeper() as keeper:
        await keeper.answer(keeper.greet())
        keeper.say(order(1, "cat", stdin=True), Frame(Kind.FEED, b"abc", job=1))
        keeper.say(Frame(Kind.FEED, b"xyz", job=1, offset=offset))
        while (frame := await keeper.hear()).kind != Kind.FAULT:
            assert frame.stream == frames.NOTICE or frame.kind == Kind.FED or frame.payload == b"abc"
        assert b"order" in frame.payload


async def test_feeding_a_job_that_closed_its_stdin_or_ended_does_not_hang() -> None:
    async with running_keeper() as keeper, keeper.relay() as relay:
        await relay.run(job(1, "sh", "-c", "exec <&-; echo closed; sleep 600", stdin=True))
        async with asyncio.timeout(30):
            await relay.feed(1, bytes(1_000_000))
        await relay.signal(1, signal.SIGKILL)
        heard = await _relayed(relay)
        await relay.feed(1, b"too late")
    assert isinstance(heard[-1], JobEnded)


async def test_output_stops_at_the_window_and_goes_on_with_credit() -> None:
    async with running_keeper() as keeper:
        await keeper.answer(keeper.greet(window=50_000))
        keeper.say(order(1, "head", "-c", "200000", "/dev/zero"))
        received = 0
        for limit, credit in ((50_000, 40_000), (90_000, 90_000)):
            while received < limit:
                frame = await keeper.hear(Kind.DATA)
                assert frame.offset == received
                received += len(frame.payload)
            assert received == limit
            assert await _is_silent(keeper)
            keeper.say(Frame(Kind.CREDIT, offset=credit))
        while frame.payload.find(b"ended") < 0:
            frame = await keeper.hear(Kind.DATA)
            received += len(frame.payload)
            keeper.say(Frame(Kind.CREDIT, offset=received))
        assert received > 200_000


async def _is_silent(keeper: KeeperProcess) -> bool:
    """Nothing but ALIVE, the next of which names what was produced."""
    assert keeper.process.stdout is not None
    header = await keeper.process.stdout.readexactly(frames.HEADER_BYTES)
    return header[2] == Kind.ALIVE


async def test_a_cut_connection_loses_nothing_and_repeats_nothing() -> None:
    data = random.Random(5).randbytes(3_000_000)
    code = "import os, random; d = random.Random(5).randbytes(3_000_000)\nwhile d: d = d[os.write(1, d[:70_001]):]"
    heard: list[Relayed] = []
    async with running_keeper() as keeper:
        acknowledged = 0
        for cut_after in (0, 1, 300_000, 700_000, 2_000_000, 10**9):
            async with keeper.relay(acknowledged=acknowledged) as relay:
                if keeper.connections == 1:
                    await relay.run(job(1, sys.executable, "-c", code))
                async for item in relay:
                    # What was received and not acknowledged comes again, so it is taken only then.
                    if end_of(item) > cut_after:
                        break
                    heard.append(item)
                    acknowledged = end_of(item)
                    relay.acknowledge(acknowledged)
                    if isinstance(item, JobEnded):
                        break
    assert _bytes(heard) == data


async def test_a_connection_resumes_in_the_middle_of_a_piece() -> None:
    async with running_keeper() as keeper:
        await keeper.answer(keeper.greet())
        keeper.say(order(1, "printf", "0123456789"))
        started = await keeper.hear(Kind.DATA)
        assert (await keeper.hear(Kind.DATA)).payload == b"0123456789"
        await keeper.hear(Kind.DATA)
        await keeper.answer(keeper.greet(acked=len(started.payload) + 4))
        rest = await keeper.hear(Kind.DATA)
        assert (rest.offset, rest.payload) == (len(started.payload) + 4, b"456789")


async def test_a_frame_cut_in_half_does_not_reach_the_job_nor_disturb_the_next_connection() -> None:
    async with running_keeper() as keeper:
        async with keeper.relay() as relay:
            await relay.run(job(1, "cat", stdin=True))
            await relay.feed(1, b"whole,")
        keeper.say(frames.encode(Frame(Kind.FEED, b"broken" * 100, job=1, offset=6))[:300])
        async with keeper.relay() as relay:
            await relay.feed(1, b"whole again")
            await relay.feed(1, b"")
            assert _bytes(await _relayed(relay)) == b"whole,whole again"


async def test_after_a_restart_the_keeper_tells_which_jobs_it_ran() -> None:
    async with running_keeper() as keeper:
        async with keeper.relay() as relay:
            await relay.run(job(1, "sh", "-c", "exit 4"))
            end = end_of((await _relayed(relay))[-1])
            await relay.run(job(2, "sleep", "600"))
        async with keeper.relay(acknowledged=end) as relay:
            assert relay.state.jobs == {1: 4, 2: None}
            assert relay.state.produced >= end


@pytest.mark.parametrize("acked", [5, 10**9])
async def test_the_keeper_names_what_it_has_when_asked_for_what_it_has_not(acked: int) -> None:
    async with running_keeper() as keeper:
        async with keeper.relay() as relay:
            await relay.run(job(1, "true"))
            end = end_of((await _relayed(relay))[-1])
        await asyncio.sleep(0)
        ready = json.loads((await keeper.answer(keeper.greet(acked=acked))).payload)
        assert (ready["base"], ready["produced"]) == (end, end)


async def test_alone_for_its_grace_the_keeper_ends_its_job_and_itself() -> None:
    async with running_keeper(grace=0.5) as keeper:
        async with keeper.relay() as relay:
            await relay.run(job(1, "sleep", "600"))
            started = await anext(aiter(relay))
            assert isinstance(started, JobStarted)
        assert await keeper.ended() == 75
    await until(lambda: not _runs(started.pid))


async def test_a_keeper_nobody_ever_spoke_to_ends_after_its_grace() -> None:
    async with running_keeper(grace=0.3) as keeper:
        assert await keeper.ended() == 75


async def test_a_keeper_whose_host_reads_nothing_still_hears_its_heartbeats() -> None:
    async with running_keeper(grace=0.6) as keeper:
        await keeper.answer(keeper.greet())
        assert keeper.process.stdout is not None
        transport = keeper.process.stdout._transport  # type: ignore[attr-defined]
        transport.pause_reading()
        keeper.say(order(1, "cat", "/dev/zero"))
        for _ in range(15):
            keeper.say(BEAT_FRAME)
            await asyncio.sleep(0.1)
        assert keeper.process.returncode is None
        transport.resume_reading()


async def test_a_thawed_keeper_counts_the_heartbeats_that_waited() -> None:
    async with running_keeper(grace=0.5) as keeper, keeper.relay() as relay:
        await relay.run(job(1, "cat", stdin=True))
        os.kill(keeper.pid, signal.SIGSTOP)
        await asyncio.sleep(1.0)
        os.kill(keeper.pid, signal.SIGCONT)
        await relay.feed(1, b"alive")
        await relay.feed(1, b"")
        assert _bytes(await _relayed(relay)) == b"alive"


async def test_a_thawed_keeper_without_heartbeats_has_one_more_grace_and_no_more() -> None:
    async with running_keeper(grace=0.5) as keeper:
        await keeper.answer(keeper.greet())
        os.kill(keeper.pid, signal.SIGSTOP)
        await asyncio.sleep(0.8)
        thawed = time.monotonic()
        os.kill(keeper.pid, signal.SIGCONT)
        assert await keeper.ended() == 75
        assert time.monotonic() - thawed > 0.4


async def test_the_deadline_ends_everything_however_many_heartbeats_come() -> None:
    async with running_keeper(grace=5.0) as keeper, keeper.relay() as relay:
        await relay.run(job(1, "sleep", "600"))
        relay.set_deadline(0.3)
        assert await keeper.ended() == 76


async def test_a_polite_end_is_an_end() -> None:
    async with running_keeper() as keeper:
        await keeper.answer(keeper.greet())
        keeper.process.terminate()
        assert await keeper.ended() == 143


GOOD = {"id": 1, "argv": ["true"], "uid": 0, "gid": 0, "groups": [], "cwd": "/", "env": {}}


@pytest.mark.parametrize(
    "bad",
    [
        {**GOOD, "id": 0},
        {**GOOD, "id": True},
        {**GOOD, "argv": []},
        {**GOOD, "argv": "true"},
        {**GOOD, "argv": ["a\0b"]},
        {**GOOD, "uid": -1},
        {**GOOD, "gid": 2**32 - 1},
        {**GOOD, "groups": ["0"]},
        {**GOOD, "cwd": None},
        {**GOOD, "env": {"A": 1}},
        {**GOOD, "env": []},
        {},
    ],
)
async def test_an_order_that_makes_no_sense_is_refused_and_the_keeper_goes_on(bad: dict[str, object]) -> None:
    async with running_keeper() as keeper:
        await keeper.answer(keeper.greet())
        keeper.say(frames.encode_json(Kind.START, bad))
        assert (await keeper.hear(Kind.FAULT)).payload
        keeper.say(order(1, "true"))
        assert (await keeper.hear(Kind.DATA)).stream == frames.NOTICE


async def test_one_job_at_a_time_and_each_number_once() -> None:
    async with running_keeper() as keeper:
        await keeper.answer(keeper.greet())
        keeper.say(order(1, "sleep", "600"))
        await keeper.hear(Kind.DATA)
        keeper.say(order(2, "true"))
        assert b"job 2" in (await keeper.hear(Kind.FAULT)).payload
        keeper.say(Frame(Kind.SIGNAL, bytes([signal.SIGKILL]), job=1))
        await keeper.hear(Kind.DATA)
        keeper.say(order(1, "true"))
        assert b"job 1" in (await keeper.hear(Kind.FAULT)).payload


async def test_what_a_job_prints_can_never_be_taken_for_a_frame_or_a_nonce() -> None:
    fake = frames.encode(Frame(Kind.DATA, b'{"event": "ended", "code": 0, "reason": ""}', 1, frames.NOTICE))
    code = f"import os; os.write(1, {fake!r} * 100); os.write(1, {frames.RESYNC[:99]!r}); raise SystemExit(9)"
    heard = await _run(job(1, sys.executable, "-c", code))
    assert _bytes(heard) == fake * 100 + frames.RESYNC[:99]
    assert isinstance(heard[-1], JobEnded)
    assert heard[-1].code == 9


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/status") as file:
            return "State:\tZ" not in file.read()
    except OSError:
        return False


async def test_children_of_a_job_die_with_it() -> None:
    heard = await _run(job(1, "sh", "-c", "sleep 600 & echo $!; sleep 0.1"))
    child = int(_bytes(heard))
    await until(lambda: not _runs(child))


async def test_what_a_job_printed_cannot_be_taken_back() -> None:
    code = """
import os
os.write(1, b"a deed\\n")
try:
    os.read(os.open("/proc/self/fd/1", os.O_RDONLY | os.O_NONBLOCK), 100)
except OSError as error:
    print(type(error).__name__)
"""
    if os.getuid() == 0:  # nobody else runs jobs as another user, who does not own the pipe
        assert _bytes(await _run(job(1, "python3", "-u", "-c", code))) == b"a deed\nPermissionError\n"
