"""The kernels a run can have here: what can be chosen, and what came of trying them."""

from __future__ import annotations

from app.domain.sandboxes import Runtime
from app.supervision.runtimes import Runtimes
from app.web.parts import Check, RuntimeOption
from app.web.text import visible


def runtime_options(runtimes: Runtimes) -> tuple[RuntimeOption, ...]:
    """Those of the form. One that was tried and does not work is there, and cannot be chosen."""
    problem = _problem(runtimes)
    works = ", does not work here" if problem else ""
    return (
        RuntimeOption(value=Runtime.AUTO.value, text="gVisor where it works, else the host's (auto)"),
        RuntimeOption(value=Runtime.RUNC.value, text="The host's (runc)"),
        RuntimeOption(value=Runtime.GVISOR.value, text=f"Its own (gVisor{works})", problem=problem),
    )


def runtime_check(runtimes: Runtimes) -> Check:
    """One line of system health. A gVisor that is not there, or too old, is a fact and no fault."""
    tried = runtimes.tried
    if runtimes.gvisor is None:
        return Check(
            label="gVisor", value="not registered with the engine; sandboxes run on the host's kernel", good=None
        )
    if tried is None:
        return Check(label="gVisor", value="being tried", good=None)
    took = f"{len(tried.probe.checks)} checks in {tried.probe.seconds:.1f} s, {tried.program}"
    if tried.probe.works:
        return Check(label="gVisor", value=f"works: {took}", good=True)
    raw = f"{visible(tried.probe.problem, limit=300)} ({took})"
    return Check(label="gVisor", value=visible(tried.probe.sentence), good=None, raw=raw)


def _problem(runtimes: Runtimes) -> str:
    if runtimes.gvisor is None:
        return "gVisor is not registered with the engine"
    tried = runtimes.tried
    return visible(tried.probe.problem, limit=300) if tried is not None else ""
