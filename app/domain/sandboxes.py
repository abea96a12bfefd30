"""What is asked of a run's sandboxes, and what they turned out to be."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Runtime(enum.StrEnum):
    """On which kernel a run's sandboxes are to run."""

    RUNC = "runc"  #: the host's
    GVISOR = "gvisor"  #: one of their own in user space; refused unless a probe has shown that it works
    AUTO = "auto"  #: gVisor where it works, else the host's


class AgentProfile(enum.StrEnum):
    """How the agent's sandbox is hardened. Only a suite can choose: who starts a run cannot loosen it."""

    STRICT = "strict"
    DEBUG = "debug"  #: the agent may trace its own processes


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxFacts:
    """The agent's sandbox as it was compared with its policy, before anything ran in it."""

    sandbox: str
    profile: str
    isolation: str  #: T.H.N
    policy_sha256: str
    image_id: str
    runtime: str  #: the engine's name of the one it really has
    witnessed: bool  #: this host looked at process and network itself
    deadline: int  #: unix second that its label carries


#: Wishes no manifest, suite or request is granted, by the engine's names: each with the reason.
NEVER = {
    "autoremove": "what is left of a sandbox is evidence until it is recorded",
    "binds": "nothing of the host is mounted into a sandbox",
    "blkioweight": "limits are memory, CPUs, pids and disk",
    "capadd": "an agent has no capability, and root operations have what the Task Standard needs",
    "capabilities": "an agent has no capability, and root operations have what the Task Standard needs",
    "capdrop": "all capabilities are dropped already",
    "cgroupns": "a sandbox has a cgroup namespace of its own",
    "cgroupnsmode": "a sandbox has a cgroup namespace of its own",
    "cgroupparent": "limits are set for each sandbox",
    "devicecgrouprules": "no device of the host is in a sandbox",
    "devicerequests": "no device of the host is in a sandbox",
    "devices": "no device of the host is in a sandbox",
    "dns": "a sandbox has no network",
    "entrypoint": "process 1 of a sandbox is the keeper",
    "extrahosts": "a sandbox has no network",
    "groupadd": "an agent has its own group only",
    "hostconfig": "the sandbox policy decides how a container is made",
    "hostnetwork": "a sandbox has no network",
    "ipc": "a sandbox has an IPC namespace of its own",
    "ipcmode": "a sandbox has an IPC namespace of its own",
    "links": "a sandbox has no network",
    "logconfig": "output goes through the keeper",
    "maskedpaths": "what tells of the host is hidden",
    "mounts": "nothing of the host is mounted into a sandbox",
    "network": "a sandbox has no network",
    "networkmode": "a sandbox has no network",
    "nonewprivileges": "no program in a sandbox gains rights",
    "oomkilldisable": "memory is a hard limit",
    "oomscoreadj": "the host's own processes go before a sandbox",
    "pid": "a sandbox has a process namespace of its own",
    "pidmode": "a sandbox has a process namespace of its own",
    "portbindings": "a sandbox has no network",
    "ports": "a sandbox has no network",
    "privileged": "no sandbox is privileged",
    "readonlypaths": "what steers the host is read-only",
    "readonlyrootfs": "an agent writes to its home and /tmp",
    "restartpolicy": "a run runs once",
    "seccomp": "the system call filter is the profile's",
    "securityopt": "the system call filter is the profile's",
    "storageopt": "the disk is the limit disk_bytes",
    "sysctls": "kernel settings stay as they are",
    "tmpfs": "the disk is the limit disk_bytes",
    "ulimits": "limits are memory, CPUs, pids and disk",
    "user": "an agent is the user 1000",
    "userns": "user namespaces are the engine's matter",
    "usernsmode": "user namespaces are the engine's matter",
    "utsmode": "a sandbox has a host name of its own",
    "volumes": "nothing of the host is mounted into a sandbox",
    "volumesfrom": "nothing of the host is mounted into a sandbox",
}


def never_granted(name: str) -> str | None:
    """Why nobody gets what is asked for by this name, however it is written; None when it is no such wish."""
    return NEVER.get("".join(letter for letter in name.lower() if letter.isalpha()))
