"""What this host itself sees of a started sandbox: its process and its network, without asking the engine."""

from __future__ import annotations

import os
from dataclasses import dataclass

#: Kernel modules put these into every network namespace. They are down, and nobody inside may bring them up.
FALLBACK_TUNNELS = frozenset(
    {
        "erspan0", "gre0", "gretap0", "ip6_vti0", "ip6erspan0", "ip6gre0", "ip6gretap0", "ip6tnl0", "ip_vti0", "sit0",
        "tunl0",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What was seen of a process of this host."""

    gvisor: bool  #: it is gVisor's kernel, and not a program of the sandbox
    shared_network: bool  #: it is in our own network namespace
    interfaces: frozenset[str]  #: beside the loopback and the kernel's dead tunnels
    routes: int  #: IPv4 routes, and IPv6 ones that lead elsewhere than to the loopback

    @property
    def alone(self) -> bool:
        return not self.shared_network and not self.interfaces and not self.routes

    def __str__(self) -> str:
        """What is wrong with its network."""
        if self.shared_network:
            return "the host's own network"
        return f"interfaces {', '.join(sorted(self.interfaces)) or 'none'}, {self.routes} routes"


def look_at(pid: int, *, proc: str = "/proc") -> Sighting | None:
    """None where this host may not look, or the process is gone. Takes about 0.2 ms."""
    try:
        return Sighting(
            gvisor=_read(f"{proc}/{pid}/cmdline").split("\0", 1)[0] == "runsc-sandbox",
            shared_network=os.readlink(f"{proc}/{pid}/ns/net") == os.readlink(f"{proc}/self/ns/net"),
            interfaces=frozenset(_interfaces(_read(f"{proc}/{pid}/net/dev"))) - FALLBACK_TUNNELS - {"lo"},
            routes=_routes(f"{proc}/{pid}/net"),
        )
    except OSError:
        return None


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def _interfaces(text: str) -> list[str]:
    return [line.partition(":")[0].strip() for line in text.splitlines()[2:] if ":" in line]


def _routes(folder: str) -> int:
    leading_out = len(_read(f"{folder}/route").splitlines()[1:])
    if os.path.exists(f"{folder}/ipv6_route"):
        lines = _read(f"{folder}/ipv6_route").splitlines()
        leading_out += sum(line.split()[-1] != "lo" for line in lines if line.strip())
    return leading_out
