"""What is different about gVisor: its own threads and memory count too, and it can fall over by itself."""

from __future__ import annotations

from sandbox_runner.spec import MIB

#: The names `runtime: gvisor` may stand for; whoever installs it registers it so.
PREFIX = "runsc"

#: Memory of its own kernel. Measured beside runc: 10 MiB more idle, 35 MiB more at the peak of ten programs.
OVERHEAD_BYTES = 64 * MIB

#: Exit codes its kernel ends with when it fails: a Go panic, and the signals of a crash. The keeper has none of them.
CRASHED = frozenset({2, 128 + 6, 128 + 11})


def is_gvisor(runtime: str | None) -> bool:
    """Whether the engine's runtime of this name is gVisor, which is called runsc wherever it is installed."""
    return runtime is not None and runtime.startswith(PREFIX)


def host_pids(wanted: int) -> int:
    """The limit that lets `wanted` processes live inside: each is several threads outside.

    At the limit gVisor does not refuse a fork, it ends the sandbox.
    """
    return 64 + 8 * wanted


def crashed(runtime: str | None, exit_code: int) -> bool:
    """Whether the sandbox itself failed, and not what ran in it."""
    return is_gvisor(runtime) and exit_code in CRASHED
