"""T.H.N: how strongly an agent is confined, in three numbers, higher being stronger.

The axes (tooling, host, network) and their order are those of the UK AI Security Institute's sandboxing taxonomy; what
each number means here is said below.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

TOOLING: Mapping[int, str] = {
    0: "writes and runs programs of its own",
}
HOST: Mapping[int, str] = {
    0: "no container",
    1: "hardened container on the host's kernel: no capability, read-only root, own system call filter",
    2: "hardened container on a kernel of its own in user space (gVisor)",
    3: "virtual machine",
}
NETWORK: Mapping[int, str] = {
    0: "the network",
    1: "named hosts only",
    2: "no network: a loopback in a namespace of its own, no route",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    tooling: int
    host: int
    network: int

    def __str__(self) -> str:
        return f"T{self.tooling}.H{self.host}.N{self.network}"

    @property
    def meaning(self) -> tuple[str, str, str]:
        """One sentence for each number."""
        return TOOLING[self.tooling], HOST[self.host], NETWORK[self.network]


def parse_isolation(text: str) -> Isolation:
    """The opposite of `str`. Raises `ValueError`."""
    match = re.fullmatch(r"T(\d)\.H(\d)\.N(\d)", text)
    if match is None:
        raise ValueError(f"{text!r} is not of the form T0.H1.N2")
    tooling, host, network = map(int, match.groups())
    return Isolation(tooling=tooling, host=host, network=network)
