"""All settings, read once at start from CRUCIBLE_* environment variables. Nothing else reads the environment."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from app.domain.errors import Refused
from app.domain.sandboxes import Runtime

#: What `full_disk` may say.
FREEZE, STOP = "freeze", "stop"

ROOT = Path(__file__).resolve().parent.parent
#: The suites, families and agents that ship.
SHIPPED_SUITES = ROOT / "suites"


def setting(default: object, text: str) -> typing.Any:
    """A field with its meaning: what it is, its unit, why this default."""
    return field(default=default, metadata={"text": text})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every field is the environment variable CRUCIBLE_<NAME IN CAPITALS>."""

    data: Path = setting(ROOT / "data", "Folder of the database and the server lock. One server process per folder.")
    host: str = setting("127.0.0.1", "Address to listen on. The default is reachable from this machine only.")
    port: int = setting(8700, "TCP port to listen on.")
    allowed_hosts: str = setting(
        "localhost,127.0.0.1,[::1]", "Host names a request may carry, with commas. Add the public name behind a proxy."
    )
    secure_cookies: bool = setting(
        False, "Mark session cookies Secure, with the __Host- prefix. Turn on behind HTTPS; off for localhost."
    )
    database: str = setting("", "SQLAlchemy URL of the database. Empty: SQLite in the data folder.")
    docker_host: str = setting(
        "", "Engine address as the docker command takes it. Empty: DOCKER_HOST, or the local socket."
    )
    base_image: str = setting("crucible-base:current", "Image task images are built from. scripts/bootstrap makes it.")
    runtime: Runtime = setting(
        Runtime.AUTO,
        "Kernel for sandboxes where neither request nor suite says: runc (the host's), gvisor, or auto: gVisor where "
        "a probe has shown that it works, else the host's.",
    )
    suites: Path = setting(
        SHIPPED_SUITES,
        "Your folder of suites, families and agents. Those that ship are there beside it; of the same name yours "
        "counts.",
    )
    slots: int = setting(4, "Runs at once. Four keeps a two-core machine responsive; raise with cores and memory.")
    grace_seconds: float = setting(
        20.0, "A sandbox ends itself this many seconds after the last heartbeat; a restart within it adopts its runs."
    )
    warden: bool = setting(
        True, "Whether a warden stands beside the server: a process that stops sandboxes when the server cannot."
    )
    warden_action: str = setting(
        "stop",
        "What the warden does when the server's event loop is silent for the grace: stop or freeze. "
        "When the server is gone it always stops.",
    )
    stop_port: int = setting(
        -1,
        "TCP port, at the address of the server, where the warden hears a page's STOP when the server gives no answer. "
        "-1: any free one, the same after a restart; 0: none. Not used with `CRUCIBLE_SECURE_COOKIES`.",
    )
    operation_seconds: float = setting(
        300.0, "Time limit of one root operation (install, setup, start, score, teardown), in seconds."
    )
    build_network: bool = setting(
        False, "Whether `install` may reach the network while a task image is built. Off: nothing ever has network."
    )
    batch_seconds: float = setting(0.05, "Longest time output is gathered before it is stored, in seconds.")
    patience_seconds: float = setting(
        10.0,
        "A run whose output cannot be stored for so many seconds is ended as broken (database locked, damaged), or"
        " held as `CRUCIBLE_FULL_DISK` says.",
    )
    full_disk: str = setting(
        FREEZE,
        "What becomes of an agent whose output finds no room on the disk: `freeze`, until there is room, when it goes"
        " on by itself; or `stop`.",
    )
    disk_reserve_bytes: int = setting(
        64 * 1024 * 1024,
        "Bytes of the disk that no output is stored into: alerts, stops and the ends of runs need them.",
    )
    engine_reserve_bytes: int = setting(
        1024 * 1024 * 1024,
        "Bytes of the container engine's disk that are kept free: at this point the root step that wrote the most is"
        " ended, and none is begun. For an engine on this machine. 0: none.",
    )
    collect_bytes: int = setting(64 * 1024 * 1024, "Most bytes of files collected from a sandbox for scoring.")
    honeytokens: bool = setting(
        True, "Lay out false secrets for every agent and tell when one is used. A suite can leave them out for a task."
    )
    leave_running: bool = setting(
        False, "On shutdown leave agents to their keepers, to be adopted by a server that starts within the grace."
    )
    server: str = setting("", "Address of the server the command line talks to. Empty: the one of the data folder.")
    token: str = setting("", "API token of the command line. Empty: the data folder's own, readable by its owner.")
    session_hours: float = setting(12.0, "A browser session ends after this many hours.")

    @property
    def suite_folders(self) -> tuple[Path, ...]:
        """Where suites, families and agents are looked for, the first that has the name: the own folder, what ships."""
        return tuple(dict.fromkeys((self.suites, SHIPPED_SUITES)))

    def __post_init__(self) -> None:
        if not -1 <= self.stop_port <= 65535:
            raise Refused(
                f"CRUCIBLE_STOP_PORT={self.stop_port} is no port",
                where="environment",
                todo="Write a port, 0 for none or -1 for any.",
            )
        if self.full_disk not in (FREEZE, STOP):
            raise Refused(
                f"CRUCIBLE_FULL_DISK={self.full_disk!r} is neither {FREEZE} nor {STOP}",
                where="environment",
                todo=f"Write {FREEZE} or {STOP}.",
            )


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Settings from CRUCIBLE_* variables. Raises `Refused` naming the variable that is unknown or unreadable."""
    known = {f"CRUCIBLE_{f.name.upper()}": f for f in dataclasses.fields(Settings)}
    hints = typing.get_type_hints(Settings)
    # Variables of the scripts, not of the server.
    foreign = {"CRUCIBLE_BASE_FROM"}
    values: dict[str, object] = {}
    for name, text in environment.items():
        if not name.startswith("CRUCIBLE_") or name in foreign:
            continue
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"Did you mean {near[0]}? " if near else ""
            raise Refused(f"there is no setting {name}", where="environment", todo=f"{hint}See docs/settings.md.")
        kind = hints[known[name].name]
        assert not isinstance(kind, types.UnionType)
        values[known[name].name] = _read(name, text, kind)
    return Settings(**values)  # type: ignore[arg-type]


def reference() -> str:
    """Every setting as a Markdown table: docs/settings.md holds it, and a test compares."""
    lines = ["| variable | default | meaning |", "| --- | --- | --- |"]
    for each in dataclasses.fields(Settings):
        default = each.default
        if isinstance(default, bool):
            shown = "on" if default else "off"
        elif isinstance(default, Path) and default.is_absolute():
            shown = f"`{default.relative_to(ROOT)}` of the checkout"
        else:
            shown = f"`{default}`" if default != "" else "empty"
        lines.append(f"| `CRUCIBLE_{each.name.upper()}` | {shown} | {each.metadata['text']} |")
    return "\n".join(lines)


def _read(name: str, text: str, kind: type) -> object:
    if kind is bool:
        if text.lower() not in {"0", "1", "true", "false", "yes", "no", "on", "off"}:
            raise Refused(f"{name}={text!r} is neither on nor off", where="environment", todo="Write 1 or 0.")
        return text.lower() in {"1", "true", "yes", "on"}
    try:
        return kind(text)
    except ValueError:
        raise Refused(f"{name}={text!r} is not a {kind.__name__}", where="environment") from None
