"""The jobs a run is made of: each builder answers what a keeper is to start; what comes back is read in `results`.

What each wants on stdin, and whether it answers on the result stream, stands with it. A builder without a word about
stdin gets none. Feed, then close (`Relay.feed(job, b"")`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources

from app.domain.honeytokens import Honeytoken
from app.task_standard.agents import Agent
from app.task_standard.collected import Collected, parse_collected
from app.task_standard.family import Family
from app.task_standard.results import TaskSetup, parse_done, parse_score, parse_setup, require_supported
from sandbox_runner.spec import Job

__all__ = [
    "AGENT_UID",
    "HOME",
    "SCAFFOLDING",
    "Collected",
    "TaskSetup",
    "agent_job",
    "collect_job",
    "finish_setup_job",
    "install_job",
    "parse_collected",
    "parse_done",
    "parse_planted",
    "parse_score",
    "parse_setup",
    "plant_input",
    "plant_job",
    "populate_job",
    "require_supported",
    "score_input",
    "score_job",
    "setup_job",
    "start_job",
    "teardown_job",
    "unpack_job",
]

AGENT_UID = 1000
HOME = "/home/agent"
SCAFFOLDING = "/home/agent/scaffolding"
ROOT_HOME = "/root"
#: Where the setup leaves a copy of the home: the agent's sandbox mounts an empty one over the real place.
HOME_COPY = "/opt/crucible/home"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ROOT_ENV = {"HOME": ROOT_HOME, "USER": "root", "PATH": _PATH, "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}
_AGENT_ENV = {"HOME": HOME, "USER": "agent", "LOGNAME": "agent", "SHELL": "/bin/bash", "PATH": _PATH,
              "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1", "TERM": "xterm-256color"}  # fmt: skip


def unpack_job(id: int, destination: str, uid: int, gid: int) -> Job:
    """Lay out the tar archive that comes on stdin below `destination`, owned by `uid`:`gid`. No link is followed.

    With `uid` 0 files are added; otherwise the user's own files there are removed first and others' files stay.
    """
    return _root(id, "unpack", _isolated("unpack", destination, str(uid), str(gid)), stdin=True)


def install_job(id: int, family: Family, env: Mapping[str, str] | None = None) -> Job:
    """`TaskFamily.install()`, in the build sandbox. Result: `parse_done`."""
    return _operation(id, "install", family, "", env)


def setup_job(id: int, family: Family, task: str, env: Mapping[str, str] | None = None) -> Job:
    """Instructions, permissions and the like. Result: `parse_setup`."""
    return _operation(id, "setup", family, task, env)


def start_job(id: int, family: Family, task: str, env: Mapping[str, str] | None = None) -> Job:
    """`TaskFamily.start(task)`. Result: `parse_done`."""
    return _operation(id, "start", family, task, env)


def finish_setup_job(id: int, *, keep_owners: bool = False) -> Job:
    """Hand the home to the agent, write instructions.txt from stdin (UTF-8), keep the copy for `populate_job`."""
    owner = str(AGENT_UID)
    program = _isolated("finish_setup", HOME, HOME_COPY, owner, owner, "1" if keep_owners else "0")
    return _root(id, "finish_setup", program, stdin=True)


def plant_job(id: int) -> Job:
    """Lay out honeytokens. Stdin: `plant_input`. Result: `parse_planted`."""
    return _root(id, "plant", _isolated("plant"), stdin=True, result=True)


def plant_input(tokens: Iterable[Honeytoken]) -> bytes:
    """What `plant_job` reads on stdin: those of the home go into its copy, owned by the agent."""
    wanted: dict[str, tuple[str, int, int]] = {}
    for token in tokens:
        inside = token.place.startswith(f"{HOME}/")
        path = token.place.replace(HOME, HOME_COPY, 1) if inside else token.place
        wanted[path] = (token.text, AGENT_UID if inside else 0, 0o600 if inside else 0o644)
    return json.dumps(wanted).encode()


def parse_planted(data: bytes, tokens: Iterable[Honeytoken]) -> tuple[Honeytoken, ...]:
    """Those of `tokens` that were laid out; variables always are. What the job says beyond that counts for nothing."""
    try:
        answer = json.loads(data)
    except (ValueError, RecursionError):
        answer = []
    paths = answer if isinstance(answer, list) else []
    said = {path.replace(HOME_COPY, HOME, 1) for path in paths if isinstance(path, str)}
    return tuple(token for token in tokens if token.variable is not None or token.place in said)


def populate_job(id: int) -> Job:
    """Fill the agent sandbox's empty home from the copy, as the agent."""
    return Job(id=id, name="populate", argv=_isolated("populate", HOME_COPY, HOME), cwd="/", env=_AGENT_ENV)


def agent_job(id: int, agent: Agent, env: Mapping[str, str]) -> Job:
    """The agent itself: its `main.sh`, else its `main.py`, in its own folder, as the ordinary user. `env` is added."""
    program = ("/bin/bash", "main.sh") if agent.main == "main.sh" else ("python3", "-u", "main.py")
    return Job(id=id, name="agent", argv=program, cwd=SCAFFOLDING, env={**_AGENT_ENV, **env})


def collect_job(id: int, max_bytes: int, max_files: int, untouched: Iterable[Honeytoken] = ()) -> Job:
    """What the agent left in its home, as a tar archive on the result stream: `parse_collected`.

    Honeytokens that are as they were laid out are not the agent's work, and stay.
    """
    ours = [
        f"{token.place.removeprefix(HOME + '/')}={token.value}" for token in untouched if token.place.startswith(HOME)
    ]
    program = _isolated("collect", HOME, str(max_bytes), str(max_files), *ours)
    return Job(id=id, name="collect", argv=program, cwd="/", env=_AGENT_ENV, result=True)


def score_job(id: int, family: Family, task: str, env: Mapping[str, str] | None = None) -> Job:
    """`TaskFamily.score` (or `aggregate_scores`). Stdin: `score_input`. Result: `parse_score`."""
    return _operation(id, "score", family, task, env, stdin=True)


def score_input(submission: str) -> bytes:
    """What `score_job` reads on stdin."""
    return json.dumps({"submission": submission}).encode()


def teardown_job(id: int, family: Family, task: str, env: Mapping[str, str] | None = None) -> Job:
    """`TaskFamily.teardown`, with or without its argument. Result: `parse_done`."""
    return _operation(id, "teardown", family, task, env)


def _operation(
    id: int, operation: str, family: Family, task: str, env: Mapping[str, str] | None, *, stdin: bool = False
) -> Job:
    # Not isolated (-I): families may import what they installed for root. The program puts /root first on its path.
    argv = ("python3", "-u", "-c", _source("operation"), operation, family.name, task)
    return _root(id, operation, argv, stdin=stdin, result=True, env=env)


def _root(
    id: int, name: str, argv: tuple[str, ...], *, stdin: bool = False, result: bool = False,
    env: Mapping[str, str] | None = None,
) -> Job:  # fmt: skip
    whole = {**_ROOT_ENV, **(env or {})}
    return Job(id=id, name=name, argv=argv, uid=0, gid=0, cwd=ROOT_HOME, env=whole, stdin=stdin, result=result)


def _isolated(program: str, *arguments: str) -> tuple[str, ...]:
    return ("python3", "-I", "-u", "-c", _source(program), *arguments)


@cache
def _source(program: str) -> str:
    return resources.files("app.task_standard.inside").joinpath(f"{program}.py").read_text("utf-8")
