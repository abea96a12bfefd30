"""What a run's sandbox is, line by line. Pure."""

from __future__ import annotations

from app.domain.runs import Run
from app.domain.sandboxes import Runtime, SandboxFacts
from app.web.parts import SandboxFact
from sandbox_runner.isolation import parse_isolation

_KERNELS = {"runc": "the host's (runc)", "runsc": "its own (gVisor)"}


def sandbox_facts(run: Run) -> tuple[SandboxFact, ...]:
    """Empty until the agent's sandbox was compared with its policy."""
    facts = run.sandbox
    if facts is None:
        return ()
    return (
        SandboxFact(label="Profile", value=facts.profile),
        _isolation(facts),
        SandboxFact(label="Network", value="none"),
        SandboxFact(label="Kernel", value=_kernel(facts), title=f"The engine's runtime {facts.runtime}"),
        SandboxFact(label="Asked for", value=run.runtime.value, title=_ASKED[run.runtime]),
        _digest("Policy", facts.policy_sha256, "SHA-256 of every wall and limit it was made with"),
        _digest("Image", facts.image_id.removeprefix("sha256:"), "The image it was made from"),
        _compared(facts),
    )


_ASKED = {
    Runtime.RUNC: "The host's kernel",
    Runtime.GVISOR: "A kernel of its own",
    Runtime.AUTO: "A kernel of its own where a probe has shown that it works, else the host's",
}


def _isolation(facts: SandboxFacts) -> SandboxFact:
    tooling, host, network = parse_isolation(facts.isolation).meaning
    title = f"Tooling: {tooling}. Host: {host}. Network: {network}. Higher is stronger."
    return SandboxFact(label="Isolation", value=facts.isolation, title=title)


def _kernel(facts: SandboxFacts) -> str:
    return _KERNELS.get(facts.runtime, facts.runtime)


def _digest(label: str, digest: str, title: str) -> SandboxFact:
    return SandboxFact(label=label, value=f"{digest[:12]}…", title=f"{title}: {digest}", copy=digest)


def _compared(facts: SandboxFacts) -> SandboxFact:
    seen = "and seen alone from the host" if facts.witnessed else "as the engine tells"
    title = "Every field of the container was compared with the policy before anything ran in it"
    return SandboxFact(label="Compared", value=f"equal, {seen}", title=title)
