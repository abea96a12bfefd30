"""One run's output from a real container into the store, beside `docker logs -f` of the same program to a file.

    python -m benchmarks.output_path [--lines 3000000] [--rounds 3] [--rules] [--folder /a/disk]

Ours goes the whole way of an agent's output: keeper, relay with credit, lines, recorder, compressed chunks in SQLite.
The reference is a plain container with the engine's json-file log. Both print the same 100-byte lines as an ordinary
user with the same limits, a few KiB a write; time runs from the first byte that arrives to the last that is stored.
"engine CPU" is what the engine's process used (so nothing else should use it meanwhile). Needs the base image.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import secrets
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import uvloop

from app.safety.watch import Watch
from app.settings import Settings
from app.store import output, runs
from app.store.database import Database, sqlite_url
from app.store.output import StoredLine
from app.supervision.doorbell import Doorbell
from app.supervision.recorder import Recorder
from benchmarks.store import new_run, on_disk
from sandbox_runner.docker_driver import DockerDriver
from sandbox_runner.driver import JobEnded, OutputChunk, Sandbox
from sandbox_runner.kill import kill_until_verified
from sandbox_runner.spec import Job, Role, SandboxSpec

IMAGE = "crucible-base:current"
#: Eighty lines a write, as a program does whose output is buffered.
PROGRAM = """
import os, sys
tail = b" the quick brown agent jumps over the lazy limit and prints a line of a hundred bytes, all in all\\n"
tail = tail[-(100 - 9):]
for begin in range(0, {lines}, 80):
    data = b"".join([b"%09d" % n + tail for n in range(begin, min(begin + 80, {lines}))])
    while data:
        data = data[os.write(1, data):]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    seconds: float
    engine: float  #: seconds of the engine's processor time
    server: float  #: seconds of this process's, or of `docker logs`
    digest: str
    on_disk: float  #: of what was printed


def printed(lines: int) -> tuple[int, str]:
    """How many bytes the program prints, and their SHA-256."""
    tail = b" the quick brown agent jumps over the lazy limit and prints a line of a hundred bytes, all in all\n"[-91:]
    digest, size = hashlib.sha256(), 0
    for begin in range(0, lines, 10_000):
        data = b"".join([b"%09d" % n + tail for n in range(begin, min(begin + 10_000, lines))])
        digest.update(data)
        size += len(data)
    return size, digest.hexdigest()


def cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def engine_pid() -> int:
    for place in ("/var/run/docker.pid", "/run/docker.pid"):
        if Path(place).exists():
            return int(Path(place).read_text())
    return int(subprocess.run(["pgrep", "-o", "-x", "dockerd"], capture_output=True, check=True).stdout)


async def ours(folder: Path, lines: int, engine: int, *, rules: bool) -> Measured:
    db = await Database.open(sqlite_url(folder))
    driver, settings = DockerDriver(), Settings()
    run = await new_run(db)
    recorder = Recorder(
        db, Doorbell(), batch_seconds=settings.batch_seconds, patience_seconds=settings.patience_seconds
    )
    instance = f"benchmark-{secrets.token_hex(4)}"
    sandbox = await driver.start(SandboxSpec(image=IMAGE, role=Role.AGENT, instance=instance, run=str(run)))
    try:
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(recorder.run(), name="recorder")
            job = Job(id=1, name="agent", argv=("python3", "-c", PROGRAM.format(lines=lines)))
            seconds, engine_cpu, server = await relayed(driver, sandbox, recorder, run, job, engine, rules=rules)
            writing.cancel()
    finally:
        await kill_until_verified(driver, sandbox)
        await driver.close()
    digest = hashlib.sha256()
    async for part in output.raw(db, run):
        digest.update(part)
    size = (await runs.get(db, run)).bytes
    await db.close()
    return Measured(
        seconds=seconds, engine=engine_cpu, server=server, digest=digest.hexdigest(), on_disk=on_disk(folder) / size
    )


async def relayed(
    driver: DockerDriver, sandbox: Sandbox, recorder: Recorder, run: int, job: Job, engine: int, *, rules: bool
) -> tuple[float, float, float]:
    """Run `job` until all it prints is stored; seconds since its first byte, of the engine's processor and of ours."""
    watch = Watch()

    def look(lines: Sequence[StoredLine]) -> None:
        watch.lines(lines)

    intake = await recorder.open(run, sandbox.id, on_lines=look if rules else None)
    begun = engine_cpu = server_cpu = 0.0
    async with driver.relay(sandbox) as relay:
        intake.relay = relay
        await relay.run(job)
        async for each in relay:
            if not begun and isinstance(each, OutputChunk):
                begun, engine_cpu, server_cpu = time.perf_counter(), cpu_of(engine), time.process_time()
            intake.take(each, keep=True)
            recorder.wake()
            if isinstance(each, JobEnded):
                break
        await recorder.close(intake)
        return time.perf_counter() - begun, cpu_of(engine) - engine_cpu, time.process_time() - server_cpu


def reference(folder: Path, lines: int, engine: int) -> Measured:
    """`docker logs -f` of a container with the engine's default log, to a file."""
    name = f"crucible-benchmark-{secrets.token_hex(4)}"
    limits = ("--network=none", "--user=1000:1000", "--memory=512m", "--cpus=1", "--pids-limit=256", "--read-only")
    program = ("--entrypoint=python3", IMAGE, "-c", PROGRAM.format(lines=lines))
    made = ("docker", "create", f"--name={name}", "--log-driver=json-file", *limits, *program)
    subprocess.run(made, check=True, capture_output=True)
    copy = folder / "copy"
    try:
        with copy.open("wb") as file:
            subprocess.run(("docker", "start", name), check=True, capture_output=True)
            follower = subprocess.Popen(("docker", "logs", "-f", name), stdout=file)
            while not copy.stat().st_size and follower.poll() is None:
                time.sleep(0.0005)
            begun, engine_cpu = time.perf_counter(), cpu_of(engine)
            _, status, used = os.wait4(follower.pid, 0)
            seconds, engine_cpu = time.perf_counter() - begun, cpu_of(engine) - engine_cpu
            follower.returncode = status
    finally:
        subprocess.run(("docker", "rm", "-f", name), check=True, capture_output=True)
    with copy.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Measured(
        seconds=seconds, engine=engine_cpu, server=used.ru_utime + used.ru_stime, digest=digest, on_disk=1.0
    )


def tell(name: str, lines: int, rounds: Sequence[Measured]) -> Measured:
    """The round of median speed, with the least processor time: what else runs only ever adds to it."""
    middle = statistics.median_low(each.seconds for each in rounds)
    engine, server = min(each.engine for each in rounds), min(each.server for each in rounds)
    share = rounds[0].on_disk
    print(f"{name:36}{lines / middle:11,.0f}{middle:9.2f}{engine:12.2f}{server:10.2f}{share:10.3f}")
    return Measured(seconds=middle, engine=engine, server=server, digest=rounds[0].digest, on_disk=share)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=3_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rules", action="store_true", help="let the safety rules look at every line too")
    parser.add_argument("--folder", type=Path, default=None, help="where to write; a real disk, not memory")
    chosen = parser.parse_args()
    size, digest = printed(chosen.lines)
    engine = engine_pid()
    stored, copied = [], []
    for _ in range(chosen.rounds):
        with tempfile.TemporaryDirectory(dir=chosen.folder) as name:
            stored.append(await ours(Path(name) / "data", chosen.lines, engine, rules=chosen.rules))
        with tempfile.TemporaryDirectory(dir=chosen.folder) as name:
            copied.append(await asyncio.to_thread(reference, Path(name), chosen.lines, engine))
    print(f"{chosen.lines:,} lines, {size / 1e6:.0f} MB; one-minute load {os.getloadavg()[0]:.1f}")
    print(f"{'':36}{'lines/s':>11}{'seconds':>9}{'engine CPU':>12}{'our CPU':>10}{'disk/raw':>10}")
    one = tell("stored, with the rules" if chosen.rules else "stored", chosen.lines, stored)
    other = tell("docker logs -f to a file, json-file", chosen.lines, copied)
    print(f"{'ratio':36}{other.seconds / one.seconds:11.2f}{'':9}{one.engine / max(other.engine, 0.01):12.2f}")
    for name, rounds in (("stored", stored), ("docker logs", copied)):
        whole = all(each.digest == digest for each in rounds)
        print(f"SHA-256 of what was printed = of what was {name}: {'yes' if whole else 'NO'}")
    if any(each.digest != digest for each in stored):
        raise SystemExit(1)


if __name__ == "__main__":
    uvloop.run(main())  # the server's own loop
