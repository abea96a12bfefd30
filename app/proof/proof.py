"""Playing the whole proof: every attack on every runtime, one after another, each within its time."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from app.domain.errors import Refused
from app.domain.proofs import ProofLine, Verdict
from app.proof.attack import Attack, Broke, Untestable
from app.proof.attacks import ATTACKS
from app.proof.ground import Ground
from sandbox_runner.driver import Driver, EngineUnreachable, SandboxError
from sandbox_runner.gvisor import is_gvisor
from sandbox_runner.kill import kill_until_verified
from sandbox_runner.runtime_probe import probe_runtime

#: Seconds one attack may take; most take less than two.
WITHIN = 30.0
#: Seconds a runtime's attacks may take together. Those that were not begun by then are said to be untested.
BUDGET = 120.0
#: What the engine calls its own default, and names that are not for sandboxes.
OURS = ("runc", "runsc")
NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be played: each attack on each runtime (engine names). `refused`: runtimes no run gets, and why."""

    runtimes: tuple[str, ...]
    attacks: tuple[Attack, ...] = ATTACKS
    refused: Mapping[str, str] = field(default_factory=dict)

    @property
    def played(self) -> int:
        return len(self.runtimes) * len(self.attacks)

    @property
    def size(self) -> int:
        """Lines in all."""
        return self.played + len(self.refused)


async def refused_runtimes(driver: Driver, image: str, offered: Sequence[str]) -> Mapping[str, str]:
    """Those of ours that a probe refuses on this engine now: runtime -> why. Raises `EngineUnreachable`."""
    found = {}
    for name in OURS:
        if name in offered and is_gvisor(name):
            probe = await probe_runtime(driver, name, image=image, instance=_instance())
            if probe.problem:
                found[name] = probe.problem
    return found


def plan(
    offered: Sequence[str], *, runtime: str | None = None, only: Sequence[str] = (), refused: Mapping[str, str] = NONE
) -> Plan:
    """Those `only` named, on `runtime` or on every one of ours that the engine offers and no probe refused.

    A `runtime` that is named is attacked, refused or not. Raises `Refused`.
    """
    known = {attack.name for attack in ATTACKS}
    if unknown := sorted(set(only) - known):
        raise Refused(f"there is no attack {unknown[0]!r}", where="--only", todo=f"Known: {', '.join(sorted(known))}.")
    if runtime is not None and runtime not in offered:
        raise Refused(f"the engine has no runtime {runtime!r}", where="--runtime", todo=f"It has {', '.join(offered)}.")
    attacks = tuple(each for each in ATTACKS if not only or each.name in only)
    if runtime is not None:
        return Plan(runtimes=(runtime,), attacks=attacks)
    ours = [name for name in OURS if name in offered]
    return Plan(
        runtimes=tuple(name for name in ours if name not in refused),
        attacks=attacks,
        refused={name: refused[name] for name in ours if name in refused},
    )


async def prove(driver: Driver, image: str, wanted: Plan) -> AsyncGenerator[ProofLine, None]:
    """Each line as soon as it is known. Whatever happens, no container of it is left."""
    instance = _instance()
    try:
        for runtime in wanted.runtimes:
            ground = Ground(driver=driver, image=image, instance=instance, runtime=runtime)
            end = time.monotonic() + BUDGET
            for attack in wanted.attacks:
                yield await played(attack, ground) if time.monotonic() < end else _untested(attack, runtime)
        for runtime, why in wanted.refused.items():
            yield _not_offered(runtime, why)
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


def _not_offered(runtime: str, why: str) -> ProofLine:
    return ProofLine(
        attack="probe",
        title="Run at all: a small run, step by step",
        should="works, or no run gets this runtime",
        runtime=runtime,
        verdict=Verdict.NOT_OFFERED,
        happened=why,
        seconds=0.0,
    )


def _instance() -> str:
    return f"proof-{secrets.token_hex(6)}"


async def _sweep(driver: Driver, instance: str) -> None:
    with contextlib.suppress(SandboxError):
        for sandbox in await driver.list_owned(instance):
            await kill_until_verified(driver, sandbox)
