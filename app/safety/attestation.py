"""A sandbox that is not what was asked for: the one finding that speaks of the engine and not of the agent. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.alerts import Category, Finding, Severity

RULE = "attestation"
#: What was done about it: there is no policy that lets such a sandbox go on.
ACTION = "refused"


def not_attested(role: str, differences: Sequence[str]) -> Finding:
    """`differences`: "HostConfig.Privileged is True instead of False", one for each field."""
    return Finding(
        rule=RULE,
        category=Category.SYSTEM_ACCESS,
        severity=Severity.CRITICAL,
        title=f"The {role} sandbox was not what was asked for, in {len(differences)} fields; it was removed",
        response=(
            "Look at what stands between Crucible and the engine: a proxy, an authorisation plug-in, another version, "
            "somebody with access to its socket. Start nothing until it is explained."
        ),
        line=None,
        quote="; ".join(differences)[:1000],
    )
