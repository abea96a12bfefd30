"""What the engine made, held against what it was asked to make: every field, before anything runs in it. Pure.

An engine adds fields of its own and writes some values its own way; both are listed here. A field that nobody knows may
be there as long as it is empty: a newer engine's switch that is off changes nothing, one that is on is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sandbox_runner.policy import KEEPER, Policy
from sandbox_runner.spec import LABEL_BASE, LABEL_DEADLINE, LABEL_PREFIX

Told = Mapping[str, Any]

#: Names, places and bookkeeping of the engine's that are no walls. Everything else at the top must be empty.
BOOKKEEPING = frozenset(
    {
        "Created", "Driver", "GraphDriver", "HostnamePath", "HostsPath", "Id", "ImageManifestDescriptor", "LogPath",
        "MountLabel", "Name", "Platform", "ProcessLabel", "ResolvConfPath", "State", "Storage",
    }
)  # fmt: skip
#: What a container has from its image, and the policy leaves as it is there.
OF_THE_IMAGE = frozenset({"Env", "ExposedPorts", "OnBuild", "Shell", "StopSignal"})
#: Parts that are compared by themselves.
APART = frozenset({"AppArmorProfile", "Args", "Config", "HostConfig", "Image", "Mounts", "NetworkSettings", "Path"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One field that is not as the policy has it. Values are cut: a filter is 9,000 characters long."""

    field: str  #: "HostConfig.Privileged"
    wanted: str
    got: str

    def __str__(self) -> str:
        return f"{self.field} is {self.got} instead of {self.wanted}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestation:
    """A sandbox was compared with its policy and is equal to it."""

    profile: str
    isolation: str  #: T.H.N
    policy_sha256: str
    image_id: str
    runtime: str  #: as the engine confirms, and the host's own process list where it can be seen
    witnessed: bool  #: whether this host could look at the process and its network itself, and not only ask the engine


def differences(policy: Policy, labels: Mapping[str, str], image: Told, told: Told) -> tuple[Difference, ...]:
    """Each field in which `told`, the engine on the container, differs. `image`: the engine on the image asked for."""
    of_image = image.get("Config") or {}
    config, host = told.get("Config") or {}, told.get("HostConfig") or {}
    wanted = {**policy.config, "Image": image["Id"], **{name: of_image.get(name) for name in OF_THE_IMAGE}}
    return (
        *_compared("", {"Image": image["Id"]}, {"Image": told.get("Image")}),
        *_compared("Config", wanted, {name: value for name, value in config.items() if name != "Labels"}),
        *_labels(labels, of_image.get("Labels") or {}, config.get("Labels") or {}),
        *_compared("HostConfig", policy.host_config, host),
        *_around(policy, told),
    )


def _compared(part: str, wanted: Told, got: Told) -> list[Difference]:
    """Both ways: what is asked for must be there, what is there must have been asked for or be nothing."""
    found = []
    for name in sorted({*wanted, *got}):
        normal = NORMAL.get(name, _same)
        if not _equal(wanted.get(name), got.get(name), normal):
            field = f"{part}.{name}".lstrip(".")
            found.append(Difference(field=field, wanted=_cut(wanted.get(name)), got=_cut(got.get(name))))
    return found


def _equal(wanted: Any, got: Any, normal: Callable[[Any], Any]) -> bool:
    if _nothing(wanted) or _nothing(got):
        return _nothing(wanted) and _nothing(got)
    try:
        return bool(normal(wanted) == normal(got))
    except (AttributeError, KeyError, TypeError, ValueError):
        return False  # of a shape that no engine's answer has


def _nothing(value: Any) -> bool:
    """Off, absent, zero or empty; [0, 0] as well, the size of no terminal."""
    return not value or (isinstance(value, list | tuple) and all(item == 0 for item in value))


def _same(value: Any) -> Any:
    return value


def _capabilities(value: Any) -> Any:
    return {str(name).removeprefix("CAP_") for name in value}


def _ulimits(value: Any) -> Any:
    return {each["Name"]: (each["Soft"], each["Hard"]) for each in value}


def _mounts(value: Any) -> Any:
    return {place: set(str(options).split(",")) for place, options in value.items()}


#: Fields an engine may order or write in its own way.
NORMAL: Mapping[str, Callable[[Any], Any]] = {
    "CapAdd": _capabilities,
    "CapDrop": _capabilities,
    "MaskedPaths": set,
    "ReadonlyPaths": set,
    "SecurityOpt": set,
    "Tmpfs": _mounts,
    "Ulimits": _ulimits,
}


def _labels(wanted: Mapping[str, str], inherited: Mapping[str, str], got: Mapping[str, str]) -> list[Difference]:
    """Ours as they were set, the image's as they are there, and no others."""
    expected = {name: value for name, value in inherited.items() if not name.startswith(LABEL_PREFIX)}
    expected |= {LABEL_BASE: inherited[LABEL_BASE]} if LABEL_BASE in inherited else {}
    expected |= wanted
    if not wanted.get(LABEL_DEADLINE):  # Who looks at it later does not know the moment it was made for.
        expected[LABEL_DEADLINE] = got.get(LABEL_DEADLINE, "")
    return [
        Difference(field=f"Config.Labels.{name}", wanted=_cut(expected.get(name)), got=_cut(got.get(name)))
        for name in sorted({*expected, *got})
        if expected.get(name) != got.get(name)
    ]


def _around(policy: Policy, told: Told) -> list[Difference]:
    """What lies beside the two configurations: the program, mounts, networks, AppArmor, and what we do not know."""
    apparmor = "docker-default" if "apparmor=docker-default" in policy.host_config["SecurityOpt"] else ""
    network = policy.host_config["NetworkMode"]
    settings = told.get("NetworkSettings") or {}
    others = {name: value for name, value in told.items() if name not in BOOKKEEPING | APART}
    connected = set(settings.get("Networks") or {}) - {network}
    found = [
        *_compared("", {"Path": KEEPER[0]}, {"Path": told.get("Path")}),
        *_compared("", {"Args": [*KEEPER[1:], *policy.config["Cmd"]]}, {"Args": told.get("Args")}),
        *_compared("", {"AppArmorProfile": apparmor}, {"AppArmorProfile": told.get("AppArmorProfile")}),
        *_compared("", {}, {"Mounts": told.get("Mounts")}),
        *_compared("NetworkSettings", {}, {"Networks": sorted(connected), "Ports": settings.get("Ports")}),
        *_compared("", {}, others),
    ]
    if network == "none":
        found += _compared(
            "NetworkSettings", {}, {name: settings.get(name) for name in ("IPAddress", "GlobalIPv6Address")}
        )
    return found


def _cut(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}…"
