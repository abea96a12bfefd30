"""Playing the whole proof: every attack on every runtime, one after another, each within its time."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from app.domain.errors import Refused
from app.domain.proofs import ProofLine, Verdict
from app.proof.attack import Attack, Broke, Untestable
from app.proof.attacks import ATTACKS
from app.proof.ground import Ground
from sandbox_runner.driver import Driver, EngineUnreachable, SandboxError
from sandbox_runner.kill import kill_until_verified

#: Seconds one attack may take; most take less than two.
WITHIN = 30.0
#: Seconds a runtime's attacks may take together. Those that were not begun by then are said to be untested.
BUDGET = 120.0
#: What the engine calls its own default, and names that are not for sandboxes.
OURS = ("runc", "runsc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be played: each attack on each runtime (engine names)."""

    runtimes: tuple[str, ...]
    attacks: tuple[Attack, ...] = ATTACKS

    @property
    def size(self) -> int:
        return len(self.runtimes) * len(self.attacks)


def plan(offered: Sequence[str], *, runtime: str | None = None, only: Sequence[str] = ()) -> Plan:
    """Those `only` named, on `runtime` or on every one of ours that the engine offers. Raises `Refused`."""
    known = {attack.name for attack in ATTACKS}
    if unknown := sorted(set(only) - known):
        raise Refused(f"there is no attack {unknown[0]!r}", where="--only", todo=f"Known: {', '.join(sorted(known))}.")
    if runtime is not None and runtime not in offered:
        raise Refused(f"the engine has no runtime {runtime!r}", where="--runtime", todo=f"It has {', '.join(offered)}.")
    runtimes = (runtime,) if runtime is not None else tuple(name for name in OURS if name in offered)
    return Plan(runtimes=runtimes, attacks=tuple(each for each in ATTACKS if not only or each.name in only))


async def prove(driver: Driver, image: str, wanted: Plan) -> AsyncGenerator[ProofLine, None]:
    """Each line as soon as it is known. Whatever happens, no container of it is left."""
    instance = f"proof-{secrets.token_hex(6)}"
    try:
        for runtime in wanted.runtimes:
            ground = Ground(driver=driver, image=image, instance=instance, runtime=runtime)
            end = time.monotonic() + BUDGET
            for attack in wanted.attacks:
                yield await played(attack, ground) if time.monotonic() < end else _untested(attack, runtime)
    finally:
        await _sweep(driver, instance)


async def played(attack: Attack, ground: Ground) -> ProofLine:
    """One line. Never raises for what an attack does."""
    begun = time.monotonic()
    try:
        async with asyncio.timeout(WITHIN):
            happened = await attack.play(ground)
        verdict = Verdict.HELD
    except Broke as error:
        verdict, happened = Verdict.BROKE, str(error)
    except Untestable as error:
        verdict, happened = Verdict.UNTESTED, str(error)
    except EngineUnreachable as error:
        verdict, happened = Verdict.UNTESTED, f"the engine did not answer: {error}"
    except SandboxError as error:
        verdict, happened = Verdict.BROKE, f"the sandbox failed: {error}"
    except TimeoutError:
        verdict, happened = Verdict.BROKE, f"it was not over after {WITHIN:.0f} s"
    except BaseExceptionGroup as group:
        verdict, happened = Verdict.BROKE, f"the sandbox failed: {group.exceptions[0]}"
    return ProofLine(
        attack=attack.name,
        title=attack.title,
        should=attack.should,
        runtime=ground.runtime,
        verdict=verdict,
        happened=happened,
        seconds=round(time.monotonic() - begun, 2),
    )


def _untested(attack: Attack, runtime: str) -> ProofLine:
    return ProofLine(
        attack=attack.name,
        title=attack.title,
        should=attack.should,
        runtime=runtime,
        verdict=Verdict.UNTESTED,
        happened=f"the host was too busy: there was no time left of {BUDGET:.0f} s",
        seconds=0.0,
    )


async def _sweep(driver: Driver, instance: str) -> None:
    with contextlib.suppress(SandboxError):
        for sandbox in await driver.list_owned(instance):
            await kill_until_verified(driver, sandbox)
