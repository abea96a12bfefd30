"""The engine's disk, where images lie and what root writes in a sandbox: a reserve of it stays free, for everybody.

An agent writes to memory alone. A family's root writes to this disk, which has no quota: who would fill it is ended at
the reserve, nothing of root's is begun below it, and no image is made that would not leave it. Not where this host
cannot see the disk (an engine on another machine): there the engine's own refusal is what is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from app.domain.errors import Broken
from app.domain.limits import MIB
from app.supervision.host_alerts import ENGINE_DISK, HostAlerts
from sandbox_runner.driver import DiskRoom, Driver, EngineDiskFull, Sandbox, SandboxError
from sandbox_runner.kill import kill_until_verified

log = logging.getLogger(__name__)

#: Seconds between looks while root is at work, and while it is not. A second is half a gigabyte for a fast writer.
BUSY, CALM = 0.2, 5.0
#: Seconds the engine has to say what each has written: it looks at every file.
MEASURE_WITHIN = 3.0
#: Seconds until the next look, at the latest, when what was ended is slow to go.
GONE_WITHIN = 10.0
#: Bytes for which a file system has room for one more file, as they are usually made.
BYTES_OF_A_FILE = 16 * 1024

TODO = "Free space there (docker system df shows what takes it), then run it again."


@dataclass(slots=True, kw_only=True, eq=False)
class RootWork:
    """Root at work in one sandbox."""

    sandbox: Sandbox
    limit: asyncio.Timeout
    saving: bool = False  #: it is being committed: nothing in it writes, and that its image fits was reckoned
    cause: str = ""  #: why it was ended


class EngineDisk:
    """One per supervisor. `run` for ever."""

    def __init__(self, driver: Driver, *, host: HostAlerts, reserve_bytes: int) -> None:
        self._driver = driver
        self._host = host
        self._reserve = reserve_bytes
        self._works: dict[str, RootWork] = {}
        self._begun = asyncio.Event()
        self._well: bool | None = None  #: as it was told last
        self._refused = False  #: the engine found no room where we see enough, and made nothing since
        self._promised = 0  #: bytes of the images that are being made

    async def run(self) -> None:
        while True:
            await self.look()
            self._begun.clear()
            if self._works:
                await asyncio.sleep(BUSY)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CALM):
                    await self._begun.wait()

    async def look(self) -> None:
        """One look: tell people when it has become short or well; end what fills it."""
        try:
            room = await self._driver.disk_room()
        except SandboxError:
            return  # The engine is away, which is told elsewhere.
        short = self._shortage(room)
        self._tell(short or ("the engine found no room" if self._refused else ""))
        if short:
            await self._end_the_largest(short, _few_files(room, self._reserve))

    async def require_room(self, role: str) -> None:
        """Raises `Broken` when the reserve is reached already: nothing that root does is begun then."""
        if short := self._shortage(await self._driver.disk_room()):
            self._tell(short)
            raise Broken(f"{short}: no {role} sandbox was begun. {TODO}")

    @contextlib.asynccontextmanager
    async def kept_free(self, sandbox: Sandbox) -> AsyncIterator[None]:
        """Around what root does in `sandbox`. Raises `Broken` when it had to be ended for the reserve."""
        work = None
        try:
            async with asyncio.timeout(None) as limit:
                work = self._works[sandbox.id] = RootWork(sandbox=sandbox, limit=limit)
                self._begun.set()
                yield
        except Exception as error:
            if work is not None and work.cause:
                raise Broken(work.cause) from error
            raise
        finally:
            self._works.pop(sandbox.id, None)

    async def save(self, sandbox: Sandbox, reference: str) -> None:
        """Commit it as image `reference`. Raises `Broken` when there is no room for that beyond the reserve."""
        work = self._works.get(sandbox.id)
        if work is not None:
            work.saving = True
        size = await self._require_room_for(sandbox)
        self._promised += size
        try:
            await self._driver.commit(sandbox, reference)
        except EngineDiskFull as error:
            raise await self.refused(error) from error
        finally:
            self._promised -= size
        self.made()

    async def _require_room_for(self, sandbox: Sandbox) -> int:
        """Bytes that an image of it takes; 0 where nobody sees what is left. Raises `Broken` when too many."""
        room = await self._driver.disk_room()
        if room is None:
            return 0
        try:
            size = (await self._driver.layer_bytes([sandbox])).get(sandbox.id, 0)
        except SandboxError as error:
            raise Broken(f"the engine could not say how large an image of the {sandbox.role} is: {error}") from error
        beyond = max(0, room.bytes - self._reserve - self._promised)
        if size > beyond:
            raise Broken(
                f"an image of what the {sandbox.role} sandbox wrote takes {_mib(size)}, and the container engine's disk"
                f" has {_mib(beyond)} left beyond the {_mib(self._reserve)} kept free: it was not made. {TODO}"
            )
        return size

    async def refused(self, error: EngineDiskFull) -> Broken:
        """What to raise instead; people are told."""
        with contextlib.suppress(SandboxError):
            # What is seen to be short is seen to be well again; else only the engine can tell, by what it makes next.
            self._refused = not self._shortage(await self._driver.disk_room())
        self._tell(str(error))
        return Broken(f"{error}. {TODO}")

    def made(self) -> None:
        """The engine wrote something to its disk."""
        self._refused = False

    def _shortage(self, room: DiskRoom | None) -> str:
        """What is short, in words; empty while nothing is."""
        if room is None:
            return ""
        if room.bytes < self._reserve:
            return f"the container engine's disk has {_mib(room.bytes)} left of the {_mib(self._reserve)} kept free"
        if _few_files(room, self._reserve):
            least = self._reserve // BYTES_OF_A_FILE
            return f"the container engine's disk has room for {room.files} files, {least} are kept free"
        return ""

    def _tell(self, wrong: str) -> None:
        if self._well is (not wrong):
            return
        self._well = not wrong
        if wrong:
            log.error("engine's disk: %s", wrong)
            self._host.wrong(ENGINE_DISK, wrong)
        else:
            self._host.well(ENGINE_DISK)

    async def _end_the_largest(self, short: str, few_files: bool) -> None:
        """Who wrote the most, or all of them where that cannot be told; until it is gone."""
        works = self._that_write()
        written = None if few_files or not works else await self._written(works)
        works = self._that_write()  # Others, by now.
        if not works:
            return
        if written is not None:
            works = [max(works, key=lambda work: written.get(work.sandbox.id, 0))]
        for work in works:
            size = written.get(work.sandbox.id, 0) if written is not None else None
            most = f"had written the most, {_mib(size)}," if size is not None else "may have filled it"
            work.cause = f"{short}: this run's {work.sandbox.role} sandbox {most} and was ended. {TODO}"
            log.error("run %s: %s", work.sandbox.run, work.cause)
            work.limit.reschedule(asyncio.get_running_loop().time())
        await asyncio.gather(*(self._gone(work.sandbox) for work in works))

    def _that_write(self) -> list[RootWork]:
        return [work for work in self._works.values() if not work.saving and not work.cause]

    async def _written(self, works: Sequence[RootWork]) -> Mapping[str, int] | None:
        try:
            async with asyncio.timeout(MEASURE_WITHIN):
                return await self._driver.layer_bytes([work.sandbox for work in works])
        except (SandboxError, TimeoutError) as error:
            log.warning("engine's disk: what each sandbox wrote could not be told: %s", error or "not in time")
            return None

    async def _gone(self, sandbox: Sandbox) -> None:
        """Its owner ends it too, and records that."""
        with contextlib.suppress(SandboxError, TimeoutError):
            async with asyncio.timeout(GONE_WITHIN):
                await kill_until_verified(self._driver, sandbox)


def _few_files(room: DiskRoom | None, reserve: int) -> bool:
    return room is not None and room.files is not None and room.files < reserve // BYTES_OF_A_FILE


def _mib(size: int) -> str:
    return f"{size / MIB:.1f} MiB"
