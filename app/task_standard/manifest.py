"""manifest.yaml of a task family: versions, resources, how scoring behaves. Unknown keys are refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from app.task_standard.strict_yaml import Node, read_yaml


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskManifest:
    """What the manifest says of one task. Absent values are None."""

    line: int
    version: str | None = None
    cpus: float | None = None
    memory_bytes: int | None = None
    storage_bytes: int | None = None
    gpus: int = 0
    visible_to_agent: bool = True
    score_on_usage_limits: bool = False
    scoring_instructions: str = ""
    network_optional: bool = False  #: `meta: {crucible: {network: optional}}`: may run without the internet it asks for


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    file: str
    version: str | None = None
    tasks: Mapping[str, TaskManifest] = field(default_factory=dict)  #: keys are texts, also when they look like numbers


_GIB = 1024**3


def read_manifest(file: Path, *, label: str) -> Manifest:
    """Raises `Refused` naming file and line."""
    root = read_yaml(file, label=label).mapping({"version", "meta", "tasks"})
    shared_optional = _network_optional(root.get("meta"))
    tasks = root["tasks"].mapping() if "tasks" in root else {}
    return Manifest(
        file=label,
        version=root["version"].string() if "version" in root else None,
        tasks={name: _task(node, shared_optional) for name, node in tasks.items()},
    )


def _task(node: Node, network_optional: bool) -> TaskManifest:
    values = node.mapping({"version", "meta", "resources", "scoring"})
    resources = _part(values, "resources", {"gpu", "cpus", "memory_gb", "storage_gb"})
    scoring = _part(values, "scoring", {"visible_to_agent", "score_on_usage_limits", "instructions"})
    memory, storage = _amount(resources, "memory_gb"), _amount(resources, "storage_gb")
    return TaskManifest(
        line=node.line,
        version=values["version"].string() if "version" in values else None,
        cpus=_amount(resources, "cpus"),
        memory_bytes=None if memory is None else int(memory * _GIB),
        storage_bytes=None if storage is None else int(storage * _GIB),
        gpus=_gpus(resources["gpu"]) if "gpu" in resources else 0,
        visible_to_agent=scoring["visible_to_agent"].boolean() if "visible_to_agent" in scoring else True,
        score_on_usage_limits=(
            scoring["score_on_usage_limits"].boolean() if "score_on_usage_limits" in scoring else False
        ),
        scoring_instructions=scoring["instructions"].string() if "instructions" in scoring else "",
        network_optional=network_optional or _network_optional(values.get("meta")),
    )


def _part(values: Mapping[str, Node], name: str, allowed: set[str]) -> Mapping[str, Node]:
    return values[name].mapping(allowed) if name in values else {}


def _amount(resources: Mapping[str, Node], name: str) -> float | None:
    if name not in resources:
        return None
    amount = resources[name].number()
    if not 0 < amount < 1e6:
        resources[name].refuse(f"{name} is {amount:g}", "Write a number above 0.")
    return amount


def _gpus(node: Node) -> int:
    counts = node.mapping({"count_range", "model"}).get("count_range")
    items = counts.sequence() if counts is not None else ()
    if len(items) != 2:
        node.refuse("`gpu` needs `count_range: [least, most]`")
    return int(items[0].number())


def _network_optional(meta: Node | None) -> bool:
    """`meta` belongs to the family's author: anything but our own few words in it is let pass."""
    if meta is None or not isinstance(meta.content, dict) or "crucible" not in meta.content:
        return False
    ours = meta.content["crucible"].mapping({"network"})
    if "network" not in ours:
        return False
    if ours["network"].string() != "optional":
        ours["network"].refuse("`network` can only be `optional`")
    return True
