"""From a policy to what the engine is asked, and from what the engine says of itself to what a policy may use. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sandbox_runner.policy import HostFeatures, Policy, labels_of
from sandbox_runner.spec import SandboxSpec


def container_name(spec: SandboxSpec, suffix: str) -> str:
    """A name for people; what is ours is found by label."""
    run = re.sub(r"[^a-zA-Z0-9_.-]", "-", spec.run)[:80]
    return f"crucible-{run}-{spec.role.value}-{suffix}"


def create_body(spec: SandboxSpec, policy: Policy, image_id: str) -> dict[str, Any]:
    """The body of the engine's create call. `image_id`: a tag could come to mean another image meanwhile."""
    labels = labels_of(spec, policy)
    return {**policy.config, "Image": image_id, "Labels": labels, "HostConfig": policy.host_config}


def features_of(info: Mapping[str, Any]) -> HostFeatures:
    """From the engine's own description."""
    options = [str(option) for option in info.get("SecurityOptions") or ()]
    return HostFeatures(
        apparmor=any(option.split(",")[0] == "name=apparmor" for option in options),
        # An engine too old to tell knows only the first version.
        swappiness=str(info.get("CgroupVersion") or "1") == "1",
    )
