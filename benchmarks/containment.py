"""What containment costs: from "start it" to the agent's first output, beside a plain `docker run` of the same image.

One turn after the other, in the same minutes, so that what else the machine does falls on all alike:

  plain      docker run --rm --network none IMAGE python3 -c 'print("x")'       the first byte on its standard output
  plain api  the same container by the API: create, attach, start               without the docker command's own start
  strict     the driver: policy, create, compare, start, look from the host, agent's job to its first output
  accepted   the supervisor: a whole run from its submission to the agent's first line; its task image is there already
  compare    of `strict`, the comparison alone: image and container inspected, every field compared, host looked at

.venv/bin/python benchmarks/containment.py [--turns 15]
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import docker

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from app.domain.runs import EvaluationRequest  # noqa: E402
from app.domain.sandboxes import Runtime  # noqa: E402
from app.settings import Settings  # noqa: E402
from app.store import events, output, runs  # noqa: E402
from app.store.database import Database  # noqa: E402
from app.supervision.doorbell import Doorbell  # noqa: E402
from app.supervision.supervisor import Supervisor  # noqa: E402
from sandbox_runner.docker_driver import DockerDriver  # noqa: E402
from sandbox_runner.driver import OutputChunk  # noqa: E402
from sandbox_runner.kill import kill_until_verified  # noqa: E402
from sandbox_runner.spec import Job, Role, SandboxSpec  # noqa: E402

IMAGE = "crucible-base:current"
SAY = ("python3", "-c", "print('x', flush=True)")
INSTANCE = "benchmark-containment"

FAMILY = """\
class TaskFamily:
    standard_version = "0.5.0"

    @staticmethod
    def get_tasks():
        return {"one": {}}

    @staticmethod
    def get_instructions(t):
        return "say x"
"""


def plain() -> float:
    begun = time.monotonic()
    argv = ["docker", "run", "--rm", "--network", "none", IMAGE, *SAY]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.read(1)
    took = time.monotonic() - begun
    process.communicate()
    return took


def plain_api(client: docker.APIClient) -> float:
    begun = time.monotonic()
    made = client.create_container(IMAGE, list(SAY), host_config=client.create_host_config(network_mode="none"))
    stream = client.attach(made["Id"], stream=True)
    client.start(made["Id"])
    next(iter(stream))
    took = time.monotonic() - begun
    client.remove_container(made["Id"], force=True)
    return took


async def strict(driver: DockerDriver) -> tuple[float, float]:
    """To the first output, and the comparison alone."""
    spec = SandboxSpec(image=IMAGE, role=Role.AGENT, instance=INSTANCE, run="1")
    begun = time.monotonic()
    sandbox = await driver.start(spec)
    async with driver.relay(sandbox) as relay:
        await relay.run(Job(id=1, name="agent", argv=SAY))
        async for item in relay:
            if isinstance(item, OutputChunk):
                break
        took = time.monotonic() - begun
        begun = time.monotonic()
        await driver.attest(sandbox, spec)
        compared = time.monotonic() - begun
    await kill_until_verified(driver, sandbox)
    return took, compared


async def accepted(db: Database, supervisor: Supervisor) -> tuple[float, dict[str, float]]:
    """To the agent's first line, and how long each phase before it took."""
    begun_at, begun = time.time(), time.monotonic()
    with supervisor.doorbell.listen() as bell:
        evaluation = await supervisor.submit(EvaluationRequest(suite="bench"), actor="benchmark")
        (run,) = await runs.select(db, evaluation=evaluation.id)
        while not await output.read(db, run.id, after=0, limit=1):
            await bell.wait()
        took = time.monotonic() - begun
        marks = {}
        last = begun_at
        for each in await events.read(db, run.id):
            name = type(each.event).__name__ + ":" + str(getattr(each.event, "phase", getattr(each.event, "name", "")))
            marks[name] = each.at - last
            last = each.at
        while (await runs.get(db, run.id)).live:
            await bell.wait()
    return took, marks


async def measured(turns: int) -> None:
    figures: dict[str, list[float]] = {name: [] for name in ("plain", "plain api", "strict", "accepted", "compare")}
    parts: dict[str, list[float]] = {}
    client = docker.APIClient(version="auto")
    driver = DockerDriver()
    with tempfile.TemporaryDirectory() as folder:
        settings = dataclasses.replace(_suite(Path(folder)), runtime=Runtime.RUNC, honeytokens=False)
        db = await Database.open(f"sqlite+aiosqlite:///{folder}/crucible.db")
        doorbell = Doorbell()
        async with Supervisor(db=db, driver=driver, settings=settings, doorbell=doorbell, instance=INSTANCE) as house:
            await accepted(db, house)  # the task's image is made
            for _ in range(turns):
                figures["plain"].append(await asyncio.to_thread(plain))
                figures["plain api"].append(await asyncio.to_thread(plain_api, client))
                took, compared = await strict(driver)
                figures["strict"].append(took)
                figures["compare"].append(compared)
                took, marks = await accepted(db, house)
                figures["accepted"].append(took)
                for name, seconds in marks.items():
                    parts.setdefault(name, []).append(seconds)
        for image in await driver.list_images("crucible-family/bench:"):
            await driver.remove_image(image)
        await db.close()
    await driver.close()
    client.close()
    reference = statistics.median(figures["plain"])
    print(f"{'':10} median    min    max   of plain   ({turns} turns, seconds)")
    for name, values in figures.items():
        middle = statistics.median(values)
        print(f"{name:10} {middle:6.3f} {min(values):6.3f} {max(values):6.3f}   {middle / reference:6.2f} x")
    print("accepted, the parts that take longest (median seconds before each event):")
    longest = sorted(parts.items(), key=lambda part: -statistics.median(part[1]))[:8]
    for name, values in longest:
        print(f"  {statistics.median(values):6.3f}  {name}")


def _suite(folder: Path) -> Settings:
    suites = folder / "suites"
    (suites / "families" / "bench").mkdir(parents=True)
    (suites / "families" / "bench" / "bench.py").write_text(FAMILY)
    (suites / "agents" / "sayer").mkdir(parents=True)
    (suites / "agents" / "sayer" / "main.py").write_text("print('x', flush=True)\n")
    (suites / "bench.yaml").write_text("title: b\ndescription: b\ntasks: [{task: bench/one, agent: sayer}]\n")
    return Settings(data=folder / "data", suites=suites)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=15)
    asyncio.run(measured(parser.parse_args().turns))


if __name__ == "__main__":
    main()
