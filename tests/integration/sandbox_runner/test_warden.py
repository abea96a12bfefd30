"""The warden over a real socket and the fake driver: what it does when asked, when it sees STOP, and in silence."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sandbox_runner import warden, warden_journal, warden_socket
from sandbox_runner.driver import ASKED, Sandbox
from sandbox_runner.fake_driver import FakeDriver
from sandbox_runner.fake_sandbox import State
from sandbox_runner.fake_script import FakeKnobs
from sandbox_runner.kill import EMPTY, GONE, REMOVED
from sandbox_runner.spec import Role, SandboxSpec
from sandbox_runner.stop_file import StopFile
from sandbox_runner.warden import Order, Warden, sandbox_said
from sandbox_runner.warden_socket import NoWarden, ask

INSTANCE = "here"


@dataclass
class Gate:
    """A warden at work and what it told its server."""

    warden: Warden
    folder: Path
    driver: FakeDriver
    running: asyncio.Task[None]
    taken_over: asyncio.Event
    told: list[dict[str, Any]] = field(default_factory=list)

    async def start(self, run: str, role: Role = Role.AGENT) -> Sandbox:
        spec = SandboxSpec(image="crucible-base:current", role=role, instance=INSTANCE, run=run)
        return await self.driver.start(spec)

    async def ask(self, **order: Any) -> dict[str, Any]:
        return await asyncio.to_thread(ask, self.folder, order, within=10.0)

    def orders(self) -> list[tuple[str, str]]:
        return [(each["what"], each["path"]) for each in self.told if each["said"] == "order"]

    def roster(self, *sandboxes: Sandbox, **evaluations: int) -> None:
        self.warden.heard(
            {
                "do": "roster",
                "sandboxes": [sandbox_said(each) for each in sandboxes],
                "evaluations": {name.removeprefix("run_"): number for name, number in evaluations.items()},
            }
        )


OpenGate = Callable[..., contextlib.AbstractAsyncContextManager[Gate]]


@pytest.fixture
async def open_gate(tmp_path: Path) -> AsyncIterator[OpenGate]:
    driver = FakeDriver(FakeKnobs())

    @contextlib.asynccontextmanager
    async def opened(*, grace: float = 60.0, action: str = "stop") -> AsyncIterator[Gate]:
        told: list[dict[str, Any]] = []
        taken_over = asyncio.Event()
        warden = Warden(
            driver=driver,
            instance=INSTANCE,
            folder=tmp_path,
            grace_seconds=grace,
            action=action,
            tell=told.append,
            succeeded=taken_over.is_set,
        )
        running = asyncio.create_task(warden.run())
        gate = Gate(warden, tmp_path, driver, running, taken_over, told)
        try:
            await until(lambda: answers(tmp_path))
            yield gate
        finally:
            warden.retire()
            await running

    yield opened
    await driver.close()


async def answers(folder: Path) -> bool:
    try:
        return bool((await asyncio.to_thread(ask, folder, {"do": "status"}, within=5.0))["ok"])
    except NoWarden:
        return False


async def until(true: Callable[[], Awaitable[bool]], within: float = 10.0) -> None:
    end = time.monotonic() + within
    while not await true():
        assert time.monotonic() < end, "it did not become true"
        await asyncio.sleep(0.02)


async def test_one_run_is_stopped_and_proven_and_the_server_hears_of_it(open_gate: OpenGate) -> None:
    async with open_gate() as gate:
        first, second = await gate.start("1"), await gate.start("2")

        answer = await gate.ask(do="stop", what="run", number=1, actor="eve", text="odd", path="cli")

        assert answer["ok"]
        assert [each["run"] for each in answer["ended"]] == ["1"]
        assert not await gate.driver.exists(first)
        assert await gate.driver.alive(second)
        (order,) = [each for each in gate.told if each["said"] == "order"]
        assert (order["what"], order["number"], order["actor"], order["text"]) == ("run", 1, "eve", "odd")
        assert StopFile(gate.folder).read() is None, "stopping one run holds no queue"


async def test_an_evaluation_is_stopped_by_what_the_server_told(open_gate: OpenGate) -> None:
    async with open_gate() as gate:
        first, second, third = [await gate.start(run) for run in ("1", "2", "3")]
        gate.roster(first, second, third, run_1=7, run_2=7, run_3=8)

        answer = await gate.ask(do="stop", what="evaluation", number=7)

        assert {each["run"] for each in answer["ended"]} == {"1", "2"}
        assert await gate.driver.alive(third)
        unknown = await gate.ask(do="stop", what="evaluation", number=99)
        assert not unknown["ok"]
        assert "99" in unknown["error"]
        assert ("evaluation", "socket") in gate.orders(), "the server may know runs that wait"


async def test_stop_all_latches_and_keeps_killing_what_comes_up(open_gate: OpenGate) -> None:
    async with open_gate() as gate:
        await gate.start("1")
        await gate.start("2", Role.SETUP)

        answer = await gate.ask(do="stop", what="all", actor="eve", text="smoke")

        assert len(answer["ended"]) == 2
        assert await gate.driver.list_owned() == []
        latch = StopFile(gate.folder).read()
        assert latch is not None
        assert (latch.actor, latch.text) == ("eve", "smoke")
        (entry,) = warden_journal.read(gate.folder)
        assert (entry.actor, entry.what, len(entry.ended)) == ("eve", "all", 2)
        assert gate.orders() == [("all", "socket")], "its own latch is no second order"


async def test_sandboxes_of_another_server_are_nobodys_business(open_gate: OpenGate) -> None:
    async with open_gate() as gate:
        other = await gate.driver.start(
            SandboxSpec(image="crucible-base:current", role=Role.AGENT, instance="elsewhere", run="1")
        )

        await gate.ask(do="stop", what="all")

        assert await gate.driver.alive(other)


async def test_the_file_stop_stops_everything(open_gate: OpenGate) -> None:
    async with open_gate() as gate:
        await gate.start("1")
        await asyncio.to_thread((gate.folder / "STOP").touch)

        async def nothing_left() -> bool:
            return await gate.driver.list_owned() == []

        await until(nothing_left)
        assert gate.orders() == [("all", "file")]


@pytest.fixture
def release_while_asked(monkeypatch: pytest.MonkeyPatch) -> Callable[[Gate], list[Sandbox]]:
    """While the engine is asked next what there is, a person releases the queue, and the server begins a run."""

    def arranged(gate: Gate) -> list[Sandbox]:
        list_owned, begun = gate.driver.list_owned, list[Sandbox]()

        async def released(instance: str | None = None) -> list[Sandbox]:
            if not begun:
                StopFile(gate.folder).clear()
                begun.append(await gate.start("2"))
            return await list_owned(instance)

        monkeypatch.setattr(gate.driver, "list_owned", released)
        return begun

    return arranged


async def test_what_a_released_queue_begins_is_spared_by_a_stop_that_is_under_way(
    open_gate: OpenGate, release_while_asked: Callable[[Gate], list[Sandbox]]
) -> None:
    async with open_gate() as gate:
        old = await gate.start("1")
        gate.roster(old)
        begun = release_while_asked(gate)

        answer = await gate.ask(do="stop", what="all")

        assert answer["ok"]
        assert [each["id"] for each in answer["ended"]] == [old.id]
        assert await gate.driver.alive(begun[0])


async def test_what_a_released_queue_begins_is_spared_by_a_look_around(
    open_gate: OpenGate,
    release_while_asked: Callable[[Gate], list[Sandbox]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(warden, "REFRESH", 0.2)
    async with open_gate() as gate:
        await gate.ask(do="stop", what="all")
        late = await gate.start("1")

        async def ended() -> bool:
            return not await gate.driver.exists(late)

        await until(ended)  # what comes up under the latch is ended for as long as it stands
        begun = release_while_asked(gate)

        async def asked() -> bool:
            return bool(begun)

        await until(asked)
        await asyncio.sleep(0.5)
        assert await gate.driver.alive(begun[0])


async def test_with_its_server_gone_nothing_is_spared_though_the_file_is_taken_away(
    open_gate: OpenGate, release_while_asked: Callable[[Gate], list[Sandbox]]
) -> None:
    async with open_gate() as gate:
        old = await gate.start("1")
        gate.roster(old)
        gate.warden.server_gone()
        begun = release_while_asked(gate)

        answer = await gate.ask(do="stop", what="all")

        assert {each["id"] for each in answer["ended"]} == {old.id, begun[0].id}


@pytest.mark.parametrize("path", sorted(warden.OWN_PATHS))
async def test_nobody_at_the_door_can_claim_a_way_that_is_taken_for_released(open_gate: OpenGate, path: str) -> None:
    async with open_gate() as gate:
        sandbox = await gate.start("1")

        answer = await gate.ask(do="stop", what="run", number=1, path=path)

        assert [each["id"] for each in answer["ended"]] == [sandbox.id]
        assert gate.orders() == [("run", "socket")]


async def test_a_silent_event_loop_ends_everything_after_the_grace(open_gate: OpenGate) -> None:
    async with open_gate(grace=0.3) as gate:
        await gate.start("1")

        async def nothing_left() -> bool:
            return await gate.driver.list_owned() == []

        await until(nothing_left)
        assert gate.orders() == [("silence", "silence")]
        assert StopFile(gate.folder).read() is None, "a server that comes back may start new runs"


async def test_beats_hold_it_off_and_silence_may_freeze_instead(open_gate: OpenGate) -> None:
    async with open_gate(grace=0.6, action="freeze") as gate:
        sandbox = await gate.start("1")
        for _ in range(10):
            gate.warden.heard({"do": "beat"})
            await asyncio.sleep(0.1)
        assert gate.orders() == []
        gate.roster(sandbox, run_1=1)

        async def frozen() -> bool:
            return gate.driver.find(sandbox).state is State.FROZEN

        await until(frozen)
        assert await gate.driver.alive(sandbox)
        gate.warden.server_gone()  # Nobody watches what is frozen now.

        async def nothing_left() -> bool:
            return await gate.driver.list_owned() == []

        await until(nothing_left)


async def test_what_another_server_has_taken_over_is_left_alone(open_gate: OpenGate) -> None:
    async with open_gate(grace=0.3) as gate:
        sandbox = await gate.start("1")
        gate.taken_over.set()
        gate.warden.server_gone()
        await asyncio.sleep(1.2)  # four graces
        assert await gate.driver.alive(sandbox)
        gate.taken_over.clear()

        async def dead() -> bool:
            return not await gate.driver.alive(sandbox)

        await until(dead)


async def test_it_ends_when_the_server_is_gone_and_nothing_is_left(open_gate: OpenGate) -> None:
    async with open_gate() as gate:
        gate.warden.server_gone()
        await asyncio.wait_for(gate.running, 10)
        assert not (gate.folder / warden_socket.NAME).exists()


@pytest.mark.parametrize("engine", ["gone", "silent"])
def test_its_process_ends_with_its_folder_though_the_engine_is_gone_and_sandboxes_are_known(
    tmp_path: Path, engine: str
) -> None:
    folder, address = tmp_path / "data", tmp_path / "engine.sock"
    folder.mkdir()
    sandbox = {"id": "a" * 64, "run": "1", "instance": INSTANCE, "role": "agent", "pid": 0}
    with contextlib.ExitStack() as stack:
        if engine == "silent":
            listening = stack.enter_context(socket.socket(socket.AF_UNIX))
            listening.bind(str(address))
            listening.listen()
        arguments = ["--folder", str(folder), "--instance", INSTANCE, "--lock", str(folder / "server.lock")]
        arguments += ["--engine", f"unix://{address}", "--grace", "0.5"]
        command = [sys.executable, "-m", "sandbox_runner.warden_process", *arguments]
        warden = stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL))
        stack.callback(warden.kill)
        assert warden.stdin is not None
        warden.stdin.write(
            json.dumps({"do": "roster", "sandboxes": [sandbox], "evaluations": {"1": 1}}).encode() + b"\n"
        )
        warden.stdin.close()
        end = time.monotonic() + 30
        while not any(entry.path == "silence" for entry in warden_journal.read(folder)):
            assert time.monotonic() < end, "it did not act on the silence"
            time.sleep(0.05)
        assert warden.poll() is None, "there is still something it may end"
        shutil.rmtree(folder)
        assert warden.wait(60) == 0


async def test_a_newer_warden_takes_the_door_and_the_older_one_ends_without_a_kill(open_gate: OpenGate) -> None:
    async with open_gate(grace=1.0) as older:
        sandbox = await older.start("1")
        older.warden.server_gone()
        async with open_gate() as newer:
            while not older.running.done():  # At no moment is there nobody.
                assert (await newer.ask(do="status"))["ok"]
            assert (await newer.ask(do="status"))["ok"]
            assert await newer.driver.alive(sandbox)
            assert (await newer.ask(do="stop", what="all"))["ok"]
            assert await newer.driver.list_owned() == []


async def test_the_path_is_proven_through_the_queue_and_says_when_the_engine_is_away(open_gate: OpenGate) -> None:
    async with open_gate() as gate:
        assert (await gate.ask(do="prove"))["ok"]
        gate.driver.engine_down = True
        answer = await gate.ask(do="prove")
        assert not answer["ok"]
        assert "switched off" in answer["error"]
        gate.driver.engine_down = False


async def test_what_the_server_strikes_is_struck_here_too(open_gate: OpenGate) -> None:
    async with open_gate() as gate:
        sandbox = await gate.start("1")
        gate.warden.heard({"do": "strike", "sandboxes": [sandbox_said(sandbox)]})

        async def dead() -> bool:
            return not await gate.driver.alive(sandbox)

        await until(dead)
        assert gate.orders() == []


async def test_nonsense_is_answered_and_changes_nothing(open_gate: OpenGate) -> None:
    async with open_gate() as gate:
        sandbox = await gate.start("1")
        assert not (await gate.ask(do="dance"))["ok"]
        assert not (await gate.ask(do="stop", what="half"))["ok"]
        assert not (await gate.ask(do="stop", what="run", number="1; all"))["ok"]
        assert await gate.driver.alive(sandbox)


async def test_only_the_folders_owner_reaches_the_door(open_gate: OpenGate) -> None:
    async with open_gate() as gate:
        assert stat.S_IMODE((gate.folder / warden_socket.NAME).stat().st_mode) == 0o600


def test_without_a_warden_it_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(NoWarden, match="no warden answers"):
        ask(tmp_path, {"do": "status"}, within=5.0)


async def test_the_journal_tells_who_was_struck_how_and_who_was_in_it(open_gate: OpenGate) -> None:
    async with open_gate() as gate:
        alive, dead = await gate.start("1"), await gate.start("2")
        gate.roster(alive, dead)
        await gate.driver.kill(dead)

        await gate.ask(do="stop", what="all", actor="eve", text="smoke", path="cli")

        (entry,) = warden_journal.read(gate.folder)
        assert abs(entry.received_at - time.time()) < 60
        assert entry.seen["1"][alive.id].processes, "it was looked at before it was struck"
        assert entry.meant(1, 7)
        assert not entry.meant(2, 7), "nobody was left in it: whatever ended it, this did not"
        (ended,) = [each for each in entry.ended if each.run == "1"]
        assert ended.acted_ms is not None
        assert [name for name, _ in ended.steps] == [ASKED, EMPTY, REMOVED, GONE]
        assert ended.acted_ms <= ended.gone_ms


async def test_what_comes_up_after_a_stop_is_ended_in_its_name(open_gate: OpenGate) -> None:
    async with open_gate() as gate:
        await gate.ask(do="stop", what="all", actor="eve")
        gate.warden.server_gone()
        late = await gate.start("3")

        async def told() -> bool:
            return any(ended.run == "3" for entry in warden_journal.read(gate.folder) for ended in entry.ended)

        await until(told)
        assert not await gate.driver.alive(late)


def test_lines_that_a_kill_cut_off_are_passed_over(tmp_path: Path) -> None:
    journal = warden_journal.Journal(tmp_path)
    said = {"do": "stop", "what": "run", "number": 1, "actor": "eve", "text": "", "path": "cli"}
    journal.ordered("one", time.monotonic(), said)
    with (tmp_path / warden_journal.NAME).open("a") as file:
        file.write('{"order": "one", "ended": {"run": "1"}}\nnonsense\n[]\n{"order": "tw')

    (entry,) = warden_journal.read(tmp_path)

    assert entry.order == "one"
    assert entry.ended == []


async def test_a_stop_file_that_was_released_before_its_order_was_carried_out_is_not_made_again(
    open_gate: OpenGate,
) -> None:
    async with open_gate() as gate:
        order = Order(do="stop", path="file")
        gate.warden.take(order)
        await order.done

        assert not (gate.folder / "STOP").exists()
