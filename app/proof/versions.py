"""Known ways out of containers, by the versions that closed them: what this host's programs may still be open to.

A version tells little by itself: distributions carry fixes back under old numbers. So this warns, and never refuses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Version = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Escape:
    """One or more known holes of one program. `fixed`: the first good version of each branch, oldest first."""

    program: str
    names: str
    fixed: tuple[str, ...]
    what: str
    source: str
    since: str = "0"  #: the first version that had it
    way_out: bool = True  #: False: an old release that is worse for it, but not to escape from

    def open_in(self, version: str) -> bool | None:
        """Whether `version` has it; None when the text is no version."""
        number = parse(version)
        if not number:
            return None
        if number < parse(self.since):
            return False
        fixes = [parse(each) for each in self.fixed]
        same_branch = [fix for fix in fixes if fix[:2] == number[:2]]
        return number < same_branch[0] if same_branch else number < fixes[-1]


ESCAPES: tuple[Escape, ...] = (
    Escape(
        program="engine",
        names="CVE-2026-41567, CVE-2026-42306",
        fixed=("29.5.1",),
        what="copying files in or out runs a program of the container as the host's root; a mount race. "
        "Crucible never uses the engine's archive calls",
        source="https://github.com/moby/moby/security/advisories/GHSA-x86f-5xw2-fm2r",
    ),
    Escape(
        program="engine",
        names="CVE-2026-31431",
        fixed=("29.4.3",),
        what="its default filter lets a container use the kernel's crypto sockets, through which files of the host can "
        "be written to where the kernel has this hole. Crucible brings its own filter, without them",
        source="https://nvd.nist.gov/vuln/detail/CVE-2026-31431",
    ),
    Escape(
        program="runc",
        names="CVE-2026-41579",
        fixed=("1.3.6", "1.4.3", "1.5.0"),
        what="a hostile image gets around masked paths",
        source="https://nvd.nist.gov/vuln/detail/CVE-2026-41579",
    ),
    Escape(
        program="runc",
        names="CVE-2025-31133, CVE-2025-52565, CVE-2025-52881",
        fixed=("1.2.8", "1.3.3", "1.4.0"),
        what="a hostile image gets around masked paths and writes to the kernel's switches: use images you trust",
        source="https://github.com/opencontainers/runc/security/advisories/GHSA-9493-h29p-rfm2",
    ),
    Escape(
        program="runc",
        names="CVE-2024-21626",
        fixed=("1.1.12",),
        what="a leaked descriptor leads to the host's files",
        source="https://github.com/opencontainers/runc/security/advisories/GHSA-xr7r-f8xq-vfvv",
    ),
    Escape(
        program="containerd",
        names="CVE-2024-40635",
        fixed=("1.6.38", "1.7.27", "2.0.4"),
        what="a user number that is too large becomes root in the container. Crucible gives the numbers itself",
        source="https://github.com/containerd/containerd/security/advisories/GHSA-265r-hfxg-fhmg",
    ),
    Escape(
        program="containerd",
        names="CVE-2022-23648",
        fixed=("1.4.13", "1.5.10", "1.6.1"),
        what="a hostile image reads the host's files",
        source="https://github.com/containerd/containerd/security/advisories/GHSA-crp2-qrr5-8pq7",
    ),
    Escape(
        program="kernel",
        names="CVE-2024-1086",
        since="3.15",
        fixed=("5.15.149", "6.1.76", "6.6.15", "6.7.3", "6.8"),
        what="root by its packet filter; needs a user namespace, which Crucible's filter refuses",
        source="https://nvd.nist.gov/vuln/detail/CVE-2024-1086",
    ),
    Escape(
        program="kernel",
        names="CVE-2022-0847 (Dirty Pipe)",
        since="5.8",
        fixed=("5.10.102", "5.15.25", "5.16.11", "5.17"),
        what="any process writes to files it may only read, the host's programs among them",
        source="https://nvd.nist.gov/vuln/detail/CVE-2022-0847",
    ),
    Escape(
        program="kernel",
        names="CVE-2022-0492",
        fixed=("4.14.266", "4.19.229", "5.4.179", "5.10.100", "5.15.23", "5.16.9", "5.17"),
        what="a container without a filter mounts a cgroup and runs a program on the host; ours refuses the mount",
        source="https://nvd.nist.gov/vuln/detail/CVE-2022-0492",
    ),
    Escape(
        program="runsc",
        names="gVisor issue 2490",
        way_out=False,
        fixed=("20240101",),
        what="not a way out: a release this old falls over under a fork bomb and knows too few of the kernel's calls",
        source="https://github.com/google/gvisor/issues/2490",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Warning:
    """A version that is older than the fix of a known hole."""

    program: str
    version: str
    escape: Escape

    @property
    def text(self) -> str:
        fixed = ", ".join(self.escape.fixed)
        carried = " unless its distribution has carried it back" if re.search(r"[+~]", self.version) else ""
        older = f"{self.program} {self.version} is older than the fix of {self.escape.names} ({fixed})"
        return f"{older}{carried}: {self.escape.what}"


def warnings(versions: Mapping[str, str]) -> list[Warning]:
    """What `versions` (program to version text) may be open to. Unreadable versions say nothing."""
    return [
        Warning(program=escape.program, version=versions[escape.program], escape=escape)
        for escape in ESCAPES
        if escape.program in versions and escape.open_in(versions[escape.program])
    ]


def counted(found: Sequence[Warning]) -> str:
    """How many there are of each sort, for people."""
    escapes = sum(warning.escape.way_out for warning in found)
    others = len(found) - escapes
    said = [f"{escapes} older than the fix of a known escape"] if escapes else []
    return ", ".join([*said, *([f"{others} old for another reason"] if others else [])])


def parse(text: str) -> Version:
    """The numbers a version begins with: "1.1.5+ds1-1" is (1, 1, 5), "release-20221219.0" is (20221219, 0)."""
    day = re.search(r"20\d{6}(?:\.\d{1,9})?", text[:100])  # gVisor's
    match = day or re.search(r"\d{1,9}(?:\.\d{1,9}){0,3}", text[:100])
    return tuple(int(part) for part in match.group(0).split(".")) if match else ()
