"""A keeper as an ordinary child process, spoken to over pipes: all of it but what needs a container."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from sandbox_runner import frames
from sandbox_runner.frames import Frame, Kind
from sandbox_runner.relay import KeeperRelay
from sandbox_runner.spec import Job

ROOT = Path(__file__).resolve().parents[3]


class KeeperProcess:
    """`wire` is a `relay.Wire`; each call of `connect` counts as a new one over the same two pipes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.pid = process.pid
        self.connections = 0
        self.decoder = frames.Decoder()

    def relay(self, *, acknowledged: int = 0) -> KeeperRelay:
        return KeeperRelay(self.connect, acknowledged=acknowledged)

    async def connect(self) -> PipeWire:
        self.connections += 1
        return PipeWire(self.process, resumed=self.connections > 1)

    def say(self, *spoken: Frame | bytes) -> None:
        """Frames by hand, for what a relay never does."""
        assert self.process.stdin is not None
        for item in spoken:
            self.process.stdin.write(item if isinstance(item, bytes) else frames.encode(item))

    def greet(self, *, acked: int = 0, window: int = frames.WINDOW) -> bytes:
        """A HELLO by hand; the nonce that will be answered."""
        nonce = os.urandom(frames.NONCE_BYTES)
        self.say(frames.encode_json(Kind.HELLO, {"nonce": nonce.hex(), "acked": acked, "window": window}))
        return nonce

    async def answer(self, nonce: bytes) -> Frame:
        """READY, as the first frame after the nonce; what came before is thrown away."""
        assert self.process.stdout is not None
        await self.process.stdout.readuntil(nonce)
        self.decoder = frames.Decoder()
        return await self.hear(Kind.READY)

    async def hear(self, kind: Kind | None = None) -> Frame:
        """The next frame, which must be of this kind; ALIVE is passed over."""
        assert self.process.stdout is not None
        while True:
            header = await self.process.stdout.readexactly(frames.HEADER_BYTES)
            length = int.from_bytes(header[6:10], "big")
            (frame,) = self.decoder.feed(header + await self.process.stdout.readexactly(length))
            if frame.kind != Kind.ALIVE:
                assert kind in (None, frame.kind), frame
                return frame

    async def ended(self) -> int:
        async with asyncio.timeout(30):
            return await self.process.wait()


class PipeWire:
    def __init__(self, process: asyncio.subprocess.Process, *, resumed: bool) -> None:
        self.resumed = resumed
        self._process = process

    async def receive(self) -> bytes:
        assert self._process.stdout is not None
        return await self._process.stdout.read(256 * 1024)

    def send(self, data: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(data)

    async def drain(self) -> None:
        assert self._process.stdin is not None
        await self._process.stdin.drain()

    def backlog(self) -> int:
        assert self._process.stdin is not None
        return self._process.stdin.transport.get_write_buffer_size()

    def last_words(self) -> str:
        return ""

    async def close(self) -> None:
        """The pipes stay: a keeper does not notice that a connection was cut."""


@asynccontextmanager
async def running_keeper(grace: float = 10.0, *, leaks: Sequence[int] = ()) -> AsyncIterator[KeeperProcess]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "sandbox_runner.keeper.keeper", "--grace", str(grace)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=4 * 1024 * 1024,
        cwd=ROOT,
        pass_fds=leaks,
        env={"PATH": os.defpath, "SECRET": "of the keeper"},
    )
    try:
        yield KeeperProcess(process)
    finally:
        if process.returncode is None:
            process.terminate()
        assert process.stdin is not None
        process.stdin.close()
        await process.communicate()


def job(number: int, *argv: str, stdin: bool = False, result: bool = False, cwd: str = "/", **env: str) -> Job:
    """As whoever runs the tests; another user where that is root."""
    uid, gid = (1000, 1000) if os.getuid() == 0 else (os.getuid(), os.getgid())
    groups = () if os.getuid() == 0 else tuple(os.getgroups())
    return Job(
        id=number,
        name="test",
        argv=argv,
        uid=uid,
        gid=gid,
        groups=groups,
        cwd=cwd,
        env=env,
        stdin=stdin,
        result=result,
    )


def order(number: int, *argv: str, stdin: bool = False) -> bytes:
    """START by hand."""
    made = job(number, *argv, stdin=stdin)
    content = {
        **{name: getattr(made, name) for name in ("id", "uid", "gid", "cwd", "stdin", "result")},
        "argv": list(argv),
        "groups": list(made.groups),
        "env": {},
    }
    return frames.encode_json(Kind.START, content)


async def until(condition: Callable[[], Awaitable[bool] | bool]) -> None:
    """Look again and again for what has no event to wait for."""
    async with asyncio.timeout(30):
        while True:
            held = condition()
            if held is True or (isinstance(held, Awaitable) and await held):
                return
            await asyncio.sleep(0.01)
