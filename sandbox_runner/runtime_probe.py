"""Whether a runtime works for what a run is made of: a small run is played on it, and each step asked.

A runtime may be registered and be of no use: gVisor of 2022 under coreutils of 2023 fails at `ls`. Only what was tried
is offered. Uses nothing but the driver's promises.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass

from sandbox_runner.driver import Driver, JobEnded, OutputChunk, SandboxError, Stream, end_of
from sandbox_runner.kill import kill_until_verified
from sandbox_runner.spec import MIB, Job, Role, SandboxLimits, SandboxSpec

#: Seconds a whole probe may take.
WITHIN = 45.0
#: Most bytes of an answer that are read.
MOST = 64 * 1024

#: What root does in a task's setup.
ROOT_CHECKS = ("list and stat", "shell", "hand files over", "system folder")
#: What an agent does.
AGENT_CHECKS = (
    "list and stat", "shell", "subprocess", "threads", "event loop", "write home", "loopback", "read setup's file",
    "no rights",
)  # fmt: skip

_BEGIN = """
import json, os, subprocess, sys
found = {}
def check(name):
    def run(work):
        try:
            work()
            found[name] = ""
        except BaseException as error:
            found[name] = f"{type(error).__name__}: {error}"[:300]
    return run
def ran(*argv):
    done = subprocess.run(argv, capture_output=True, timeout=20)
    if done.returncode:
        said = done.stderr.decode(errors="replace")[:200]
        raise RuntimeError(f"{argv[0]} ended with {done.returncode}: {said}")
    return done.stdout
@check("list and stat")
def _():
    ran("ls", "-la", "/", "/tmp", "/etc")
    ran("stat", "/etc/passwd")
@check("shell")
def _():
    assert ran("bash", "-c", "echo $((6 * 7)) | cat") == b"42\\n"
"""
_END = """
os.write(int(os.environ["CRUCIBLE_RESULT_FD"]), json.dumps(found).encode())
"""
ROOT_PROGRAM = (
    _BEGIN
    + """
@check("hand files over")
def _():
    os.makedirs("/home/agent/probe", exist_ok=True)
    open("/home/agent/probe/file", "w").write("x")
    os.chown("/home/agent/probe/file", 1000, 1000)
    os.chmod("/home/agent/probe/file", 0o640)
    assert os.stat("/home/agent/probe/file").st_uid == 1000
@check("system folder")
def _():
    open("/opt/probe", "w").write("from setup")
    os.chmod("/opt/probe", 0o444)
"""
    + _END
)
AGENT_PROGRAM = (
    _BEGIN
    + """
@check("subprocess")
def _():
    done = [subprocess.Popen(["sleep", "0"]) for _ in range(8)]
    assert [each.wait(20) for each in done] == [0] * 8
@check("threads")
def _():
    import threading
    seen = []
    threads = [threading.Thread(target=seen.append, args=(n,)) for n in range(16)]
    [each.start() for each in threads]
    [each.join(20) for each in threads]
    assert len(seen) == 16
@check("event loop")
def _():
    import asyncio
    async def both():
        await asyncio.gather(asyncio.sleep(0), asyncio.to_thread(os.getpid))
    asyncio.run(both())
@check("write home")
def _():
    with open("/home/agent/probe", "wb") as file:
        file.write(bytes(1 << 20))
    os.rename("/home/agent/probe", "/home/agent/renamed")
    assert os.stat("/home/agent/renamed").st_size == 1 << 20
    os.symlink("/home/agent/renamed", "/tmp/link")
    os.unlink("/home/agent/renamed")
@check("loopback")
def _():
    import socket
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname(), 10) as client:
            other, _ = server.accept()
            with other:
                client.sendall(b"x")
                assert other.recv(1) == b"x"
@check("read setup's file")
def _():
    assert open("/opt/probe").read() == "from setup"
@check("no rights")
def _():
    status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
    assert int(status["CapEff"], 16) == 0 and os.getuid() == 1000, status["CapEff"]
    try:
        open("/opt/mine", "w")
    except OSError:
        return
    raise RuntimeError("the root can be written")
"""
    + _END
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeCheck:
    name: str
    problem: str  #: "" when it works; else words that came out of a sandbox

    @property
    def works(self) -> bool:
        return not self.problem


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeProbe:
    """What came of trying a runtime."""

    runtime: str  #: the engine's name of it
    checks: tuple[ProbeCheck, ...]
    at: float  #: unix seconds
    seconds: float

    @property
    def works(self) -> bool:
        return bool(self.checks) and all(check.works for check in self.checks)

    @property
    def problem(self) -> str:
        """The first thing that does not work, "" when all does."""
        failed = [check for check in self.checks if not check.works]
        more = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
        return f"{failed[0].name}: {failed[0].problem}{more}" if failed else ""

    @property
    def sentence(self) -> str:
        """What does not work and what to do, for people; "" when all works. `problem` has the sandbox's own words."""
        if self.works:
            return ""
        failed = [check.name for check in self.checks if not check.works]
        first = f', first "{failed[0]}"' if failed else ""
        return (
            f"not offered, it does not work here: {len(failed)} of {len(self.checks)} steps of a trial run failed"
            f"{first}. Install a newer runsc; until then sandboxes run on the host's kernel."
        )


async def probe_runtime(driver: Driver, runtime: str, *, image: str, instance: str) -> RuntimeProbe:
    """Set up as root, commit, and work as an agent from that image; nothing of it is left.

    Raises `EngineUnreachable` kinds only when the engine itself went away; whatever else fails is a failed check.
    """
    at, begun = time.time(), time.monotonic()
    committed = f"{_images_of(instance)}{secrets.token_hex(4)}"
    checks: list[ProbeCheck] = []
    spec = SandboxSpec(
        image=image,
        role=Role.SETUP,
        instance=instance,
        run=f"probe-{runtime}",
        runtime=runtime,
        limits=SandboxLimits(memory_bytes=256 * MIB, pids=64, home_bytes=16 * MIB),
    )
    try:
        for left in await driver.list_images(_images_of(instance)):  # by a server that was killed in its probe
            await driver.remove_image(left)
        async with asyncio.timeout(WITHIN):
            checks += await _tried(driver, spec, ROOT_PROGRAM, ROOT_CHECKS, uid=0, commit=committed)
            if all(check.works for check in checks):
                agent = SandboxSpec(
                    image=committed,
                    role=Role.AGENT,
                    instance=instance,
                    run=spec.run,
                    runtime=runtime,
                    limits=spec.limits,
                )
                checks += await _tried(driver, agent, AGENT_PROGRAM, AGENT_CHECKS, uid=1000)
    except TimeoutError:
        checks.append(ProbeCheck(name="in time", problem=f"took longer than {WITHIN:.0f} s"))
    finally:
        try:
            await asyncio.shield(driver.remove_image(committed))
        except SandboxError:
            pass  # An engine that went away; the image is as small as its one file.
    return RuntimeProbe(runtime=runtime, checks=tuple(checks), at=at, seconds=time.monotonic() - begun)


def _images_of(instance: str) -> str:
    return f"crucible-probe/{instance}:"


async def _tried(
    driver: Driver, spec: SandboxSpec, program: str, wanted: tuple[str, ...], *, uid: int, commit: str | None = None
) -> list[ProbeCheck]:
    """The checks of one sandbox, prefixed by its role."""
    role = spec.role.value
    try:
        sandbox = await driver.start(spec)
    except SandboxError as error:
        return [ProbeCheck(name=f"{role}: start", problem=_line(error))]
    try:
        job = Job(id=1, name="probe", argv=("python3", "-c", program), uid=uid, gid=uid, result=True, cwd="/")
        async with driver.relay(sandbox) as relay:
            await relay.run(job)
            answer, ended = bytearray(), 0
            async for item in relay:
                relay.acknowledge(end_of(item))
                if isinstance(item, OutputChunk) and item.stream is Stream.RESULT and len(answer) < MOST:
                    answer += item.data
                if isinstance(item, JobEnded):
                    ended = item.code
                    break
        if commit is not None:
            await driver.commit(sandbox, commit)
        return _read(bytes(answer), ended, role, wanted)
    except SandboxError as error:
        return [ProbeCheck(name=f"{role}: keep going", problem=_line(error))]
    finally:
        await asyncio.shield(kill_until_verified(driver, sandbox))


def _read(answer: bytes, code: int, role: str, wanted: tuple[str, ...]) -> list[ProbeCheck]:
    """Every check that had to be answered; silence is not consent."""
    try:
        told = json.loads(answer)
    except ValueError:
        told = None
    if not isinstance(told, Mapping):
        return [ProbeCheck(name=f"{role}: python", problem=f"ended with {code} and no answer")]
    return [ProbeCheck(name=f"{role}: {name}", problem=_line(told.get(name, "no answer"))) for name in wanted]


def _line(text: object) -> str:
    return " ".join(str(text).split())[:300]
