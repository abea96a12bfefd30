"""The warden: a process beside the server that ends or freezes sandboxes when asked, and when the server falls silent.

It shares nothing with the server but the data folder: its own interpreter, its own engine connection, its own door
(`warden_socket.py`). The server beats from its event loop into the warden's stdin; the warden says on its stdout what
it was asked to do and what it did. Every order, the empty one that proves the path too, goes through one queue to one
killer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox_runner import warden_socket
from sandbox_runner.driver import Driver, Sandbox, SandboxError
from sandbox_runner.kill import kill_until_verified
from sandbox_runner.last_look import LastLook, share
from sandbox_runner.spec import Role
from sandbox_runner.stop_file import StopFile
from sandbox_runner.warden_journal import Journal

log = logging.getLogger(__name__)

Json = dict[str, Any]

#: Seconds between looks at the clock, the file STOP and the roster.
LOOK, REFRESH = 0.25, 5.0
#: The role that may be frozen.
AGENT = Role.AGENT.value
#: Ways that only the warden itself takes: whoever is at the door and claims one came by the socket all the same.
OWN_PATHS = frozenset({"file", "silence"})
#: Steps of one ending that are told.
MOST_STEPS = 100
#: Seconds a strike the server also makes is given before the warden goes on by itself.
SERVER_WITHIN = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """`do`: stop, freeze, prove; of our own strike and end. `what`: all, run, evaluation; `silence`: all, no latch."""

    do: str
    what: str = "all"
    number: int = 0
    actor: str = ""
    text: str = ""
    path: str = "socket"
    sandboxes: tuple[
        Sandbox, ...
    ] = ()  #: named by the server, which acts too; or found, of an order carried out before
    id: str = field(default_factory=lambda: secrets.token_hex(8))  #: its name in the journal
    received: float = field(default_factory=time.monotonic)
    done: asyncio.Future[Json] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Warden:
    """`tell` hands a line to the server. `action` is what silence does: stop or freeze.

    `succeeded` says whether another server has the data folder; it is asked when ours is gone.
    """

    def __init__(
        self,
        *,
        driver: Driver,
        instance: str,
        folder: Path,
        grace_seconds: float,
        action: str,
        tell: Callable[[Json], None],
        succeeded: Callable[[], bool] = lambda: False,
    ) -> None:
        self._driver = driver
        self._instance = instance
        self._folder = folder
        self._grace = grace_seconds
        self._action = action
        self._tell = tell
        self._succeeded = succeeded
        self._stop_file = StopFile(folder)
        self._journal = Journal(folder)
        self._roster: dict[str, Sandbox] = {}
        self._evaluations: dict[str, int] = {}  #: of runs, as the server told
        self._queue: asyncio.Queue[Order] = asyncio.Queue()
        self._working: set[asyncio.Task[None]] = set()
        self._beat = time.monotonic()
        self._server_gone = False
        self._refresh_now = asyncio.Event()
        self._silence_acted = False
        self._latched = False
        self._for_all = ""  #: the order that ends what still comes up
        self._ending_now: set[str] = set()
        self.key = b""  #: of pages' tokens, as the server told
        self._over = asyncio.Event()
        self._inode = 0
        self._away = ""  #: why the engine cannot be asked, as it was said last

    async def run(self) -> None:
        """Until it is retired or replaced, or the server is gone and nothing of the instance is left."""
        async with warden_socket.listening(self._folder, self.obey) as self._inode, asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in (self._kill_by_turn(), self._look(), self._refresh_by_turn())]
            await self._over.wait()
            if self._working:  # A newer warden knows nothing of what is under way here.
                await asyncio.wait(self._working, timeout=SERVER_WITHIN)
            for task in tasks:
                task.cancel()

    # -- what is heard

    async def obey(self, said: Json) -> Json:
        """An order from the door; the answer tells when it is carried out."""
        match said.get("do"):
            case "stop" | "freeze" | "prove" as do:
                try:
                    order = _order(do, said)
                except ValueError as error:
                    return {"ok": False, "error": str(error)}
                return await self._ordered(order)
            case "status":
                return {"ok": True, "sandboxes": len(self._roster), "silent_for": self._silent_for()}
        return {"ok": False, "error": f"there is no order {str(said.get('do'))[:40]!r}"}

    def heard(self, said: Json) -> None:
        """A line from the server: a beat, the roster, a stop it makes itself, or a question after the path."""
        self._beat = time.monotonic()
        self._silence_acted = False
        match said.get("do"):
            case "roster":
                self._know({each["id"]: sandbox_of(each) for each in said["sandboxes"]})
                self._evaluations = {str(run): int(number) for run, number in said["evaluations"].items()}
            case "strike":
                sandboxes = tuple(sandbox_of(each) for each in said["sandboxes"])
                self._queue.put_nowait(Order(do="strike", sandboxes=sandboxes))
            case "key":
                self.key = bytes.fromhex(said["key"])
            case "prove":
                self._start(self._answer_proof(said))

    def take(self, order: Order) -> None:
        """An order nobody waits for."""
        self._queue.put_nowait(order)

    def retire(self) -> None:
        """End; what is under way is carried out first."""
        self._over.set()

    def server_gone(self) -> None:
        """Its end of the pipe is closed."""
        self._server_gone = True
        self._beat = time.monotonic()  # The grace in which another one may come counts from here.
        self._silence_acted = False
        self._refresh_now.set()

    def _silent_for(self) -> float:
        return time.monotonic() - self._beat

    async def _ordered(self, order: Order) -> Json:
        self._queue.put_nowait(order)
        return await order.done

    async def _answer_proof(self, said: Json) -> None:
        answer = await self._ordered(Order(do="prove"))
        self._tell({"said": "proof", "number": said.get("number"), **answer})

    # -- the one queue, the one killer

    async def _kill_by_turn(self) -> None:
        """Takes orders in turn and begins each at once: none waits for the end of another."""
        while True:
            order = await self._queue.get()
            self._start(self._carry_out(order))

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._working.add(task)
        task.add_done_callback(self._working.discard)

    async def _carry_out(self, order: Order) -> None:
        begun = time.monotonic()
        try:
            answer = await self._done(order)
        except Exception as error:
            log.exception("%s %s failed", order.do, order.what)
            answer = {"ok": False, "error": f"{type(error).__name__}: {error}"}
        if not order.done.done():
            order.done.set_result({"ms": round((time.monotonic() - begun) * 1000, 1), **answer})

    async def _done(self, order: Order) -> Json:
        match order.do:
            case "prove":
                return await self._prove()
            case "strike":
                return await self._strike(order)
            case "end":
                return {
                    "ok": True,
                    "ended": await asyncio.gather(*(self._end(each, order) for each in order.sandboxes)),
                }
            case "freeze":
                return await self._freeze(order)
        return await self._stop(order)

    async def _prove(self) -> Json:
        """Nothing, by the way a kill goes."""
        try:
            async with asyncio.timeout(4.0):
                await self._driver.ready()
        except (SandboxError, TimeoutError) as error:
            return {"ok": False, "error": str(error) or "the engine does not answer in 4 s"}
        return {"ok": True}

    async def _strike(self, order: Order) -> Json:
        """The server ends these too, and proves it: strike once, and go on only when it does not succeed."""
        striking = [asyncio.create_task(self._driver.kill(sandbox)) for sandbox in order.sandboxes]
        await asyncio.wait(striking, timeout=SERVER_WITHIN)
        for task in striking:
            task.cancel()
        await asyncio.gather(*striking, return_exceptions=True)
        left = [sandbox for sandbox in order.sandboxes if await self._may_live(sandbox)]
        return {"ok": True, "ended": [await self._end(sandbox, order) for sandbox in left]}

    async def _may_live(self, sandbox: Sandbox) -> bool:
        try:
            return await self._driver.alive(sandbox)
        except SandboxError:
            return True

    async def _stop(self, order: Order) -> Json:
        """Those we know are struck before anything is asked; then the engine is asked for more until it has none.

        What comes up after a person has released a STOP ALL is not meant by it, however long it takes.
        """
        if order.path == "file" and self._released():
            return {"ok": True, "ended": []}
        meant = [each for each in self._roster.values() if self._meant(order, each)]
        looks = self._look_at(meant)
        ending = {each.id: self._ending(each, order) for each in meant}
        await asyncio.sleep(0)  # Every first strike is made in this turn of the loop.
        latched = self._report(order)
        self._journal.seen(order.id, looks)
        if order.what == "evaluation" and not ending:
            return {"ok": False, "error": f"no sandbox of evaluation {order.number} is known", "ended": []}
        ended = list(await asyncio.gather(*ending.values()))
        problem = ""
        try:
            while more := [each for each in await self._found() if each.id not in ending and self._meant(order, each)]:
                if latched and self._released():
                    break
                self._journal.seen(order.id, self._look_at(more))
                ending.update({each.id: self._ending(each, order) for each in more})
                ended += await asyncio.gather(*(ending[each.id] for each in more))
        except SandboxError as error:
            problem = f"the engine could not be asked what is left: {error}"
        answer = {"ok": not problem and all("error" not in each for each in ended), "ended": ended, "error": problem}
        self._journal.done(order.id, {"what": order.what, "ok": answer["ok"], "error": problem})
        return answer

    def _look_at(self, sandboxes: list[Sandbox]) -> dict[str, tuple[Sandbox, LastLook]]:
        """Who is in them, before they are struck: the server cannot look any more when it hears of it."""
        within = share(len(sandboxes))
        return {each.id: (each, self._driver.last_look(each, within)) for each in sandboxes}

    def _ending(self, sandbox: Sandbox, order: Order) -> asyncio.Task[Json]:
        return asyncio.create_task(self._end(sandbox, order))

    async def _end(self, sandbox: Sandbox, order: Order) -> Json:
        told: Json = {"id": sandbox.id, "run": sandbox.run, "role": sandbox.role}
        steps: list[tuple[str, float]] = []
        self._ending_now.add(sandbox.id)
        try:
            death = await kill_until_verified(
                self._driver, sandbox, told=lambda step: steps.append((step, _ms_since(order.received)))
            )
        except SandboxError as error:
            told["error"] = str(error)
        else:
            self._roster.pop(sandbox.id, None)
            told["dead_ms"], told["gone_ms"] = round(death.dead_after * 1000, 1), round(death.gone_after * 1000, 1)
        finally:
            self._ending_now.discard(sandbox.id)
        self._journal.ended(order.id, {**told, "steps": steps[:MOST_STEPS], "gone_ms": _ms_since(order.received)})
        return told

    async def _freeze(self, order: Order) -> Json:
        self._report(order)
        # Only an agent can be thawed again; root's operations have a time limit, and end with their keepers.
        meant = [each for each in self._roster.values() if each.role == AGENT and self._meant(order, each)]
        done = await asyncio.gather(*(self._driver.freeze(each) for each in meant), return_exceptions=True)
        frozen: list[Json] = [{"id": each.id, "run": each.run, "role": each.role} for each in meant]
        for each, error in zip(frozen, done, strict=True):
            if error is not None:
                each["error"] = str(error)
        answer = {"ok": all("error" not in each for each in frozen), "frozen": frozen}
        self._journal.done(order.id, {"what": "freeze", **answer})
        return answer

    def _report(self, order: Order) -> bool:
        """To the server, so that it records the stop and holds its queue; to the latch and the journal for the next.

        Answers whether the latch stands for it.
        """
        latched = False
        if order.do == "stop" and order.what in {"all", "silence"}:
            self._for_all = order.id
        if order.what == "all" and order.do == "stop":
            self._latched = True
            # Of a file: when it is not there any more, a person has released it meanwhile.
            latched = order.path == "file" or self._latch(order)
        said = {
            "do": order.do,
            "what": order.what,
            "number": order.number,
            "actor": order.actor,
            "text": order.text,
            "path": order.path,
        }
        self._tell({"said": "order", "received": order.received, "order": order.id, **said})
        self._journal.ordered(order.id, order.received, said)
        return latched

    def _latch(self, order: Order) -> bool:
        try:
            self._stop_file.set(actor=order.actor, text=order.text)
        except OSError as error:
            log.error("the file STOP could not be made: %s", error)
            return False
        return True

    def _released(self) -> bool:
        """Whether a server lives that ended what it had, and a person has let its queue go on: new runs may be there.

        To be asked after the engine was: what had come up by then came up under the latch, or under none.
        """
        return not self._server_gone and self._stop_file.read() is None

    # -- what is seen

    async def _look(self) -> None:
        while not self._over.is_set():
            await asyncio.sleep(LOOK)
            self._look_at_file()
            self._look_at_clock()

    def _look_at_file(self) -> None:
        latch = self._stop_file.read()
        if latch is None:
            self._latched = False
        elif not self._latched:
            self._latched = True
            self._queue.put_nowait(Order(do="stop", actor=latch.actor, text=latch.text, path="file"))

    def _look_at_clock(self) -> None:
        """The server is silent beyond the grace: it is dead, or its event loop hangs."""
        if not warden_socket.is_current(self._folder, self._inode):
            self._over.set()  # A newer warden is at the door: what happens next is its business.
            return
        if self._silent_for() < self._grace or self._silence_acted:
            return
        if self._server_gone and self._succeeded():
            return  # It adopts what is there, and its own warden is about to take the door.
        self._silence_acted = True
        why = "the server ended" if self._server_gone else "the server's event loop hangs"
        text = f"{why}: nothing heard for {self._silent_for():.0f} s"
        log.error("%s: %s everything", text, self._action)
        # Without a server nothing watches what is frozen.
        do = "stop" if self._server_gone else self._action
        self._queue.put_nowait(Order(do=do, what="silence", actor="warden", text=text, path="silence"))

    async def _refresh_by_turn(self) -> None:
        """What the engine has of us, each few seconds: an order must find its sandboxes known."""
        while not self._over.is_set():  # Not by cancellation alone: it may come while one is taking place.
            try:
                await self._refresh()
            except SandboxError as error:
                self._engine_away(str(error))
            else:
                self._away = ""
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5 if self._server_gone else REFRESH):
                    await self._refresh_now.wait()
            self._refresh_now.clear()

    def _engine_away(self, why: str) -> None:
        if why != self._away:
            log.warning("the engine could not be asked what there is: %s", why)
        self._away = why
        if self._server_gone and not self._roster and not self._working:
            self._over.set()  # Nothing of ours was ever seen.

    async def _refresh(self) -> None:
        before = set(self._roster)
        found = {sandbox.id: sandbox for sandbox in await self._found()}
        for gone in before - found.keys():
            self._roster.pop(gone, None)
        self._know(found)
        if self._server_gone and not found and not self._working:
            self._over.set()
        elif found and ((self._latched and not self._released()) or (self._server_gone and self._silence_acted)):
            new = tuple(each for name, each in found.items() if name not in self._ending_now)
            self._journal.seen(self._for_all, self._look_at(list(new)))
            self._queue.put_nowait(Order(do="end", sandboxes=new, id=self._for_all))

    def _know(self, found: dict[str, Sandbox]) -> None:
        """Their places in the kernel are looked up now: when one is to be ended, or has ended, there may be no time."""
        for name, sandbox in found.items():
            if name not in self._roster:
                self._driver.last_look(sandbox, 0.0)
        self._roster.update(found)

    async def _found(self) -> list[Sandbox]:
        return await self._driver.list_owned(self._instance)

    def _meant(self, order: Order, sandbox: Sandbox) -> bool:
        match order.what:
            case "run":
                return sandbox.run == str(order.number)
            case "evaluation":
                return self._evaluations.get(sandbox.run) == order.number
        return True


def _order(do: str, said: Json) -> Order:
    what = str(said.get("what", "all"))
    number, path = said.get("number", 0), str(said.get("path", "socket"))[:20]
    if what not in {"all", "run", "evaluation"} or not isinstance(number, int):
        raise ValueError(f"{what} {number} is nothing that can be stopped")
    return Order(
        do=do,
        what=what,
        number=number,
        actor=str(said.get("actor", ""))[:200],
        text=str(said.get("text", ""))[:1000],
        path="socket" if path in OWN_PATHS else path,
    )


def _ms_since(received: float) -> float:
    return round((time.monotonic() - received) * 1000, 1)


def sandbox_of(said: Json) -> Sandbox:
    return Sandbox(
        id=said["id"], run=said["run"], instance=said["instance"], role=said["role"], pid=said["pid"], started_at=0.0
    )


def sandbox_said(sandbox: Sandbox) -> Json:
    return {
        "id": sandbox.id,
        "run": sandbox.run,
        "instance": sandbox.instance,
        "role": sandbox.role,
        "pid": sandbox.pid,
    }
