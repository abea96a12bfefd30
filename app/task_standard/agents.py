"""Agents as folders: `main.sh` or `main.py`, and what people call them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from app.domain.errors import CrucibleError, NotFound, Refused
from app.task_standard.family import nearest
from app.task_standard.file_set import pack, read_files
from app.task_standard.strict_yaml import read_yaml


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    name: str
    folder: Path
    title: str
    description: str
    main: str  #: "main.sh" or "main.py"


def load_agent(folder: Path, name: str) -> Agent:
    """The agent `name` in `folder`/agents. Raises `NotFound`, or `Refused` naming file and line."""
    place = folder / "agents"
    known = _names(place)
    if name not in known:
        raise NotFound(f"there is no agent {name!r}", where="agents", todo=nearest(name, known))
    here = place / name
    main = next((main for main in ("main.sh", "main.py") if (here / main).is_file()), None)
    if main is None:
        raise Refused("has neither main.sh nor main.py", where=f"agents/{name}", todo="One of them is what runs.")
    title, description = name, ""
    if (here / "agent.yaml").is_file():
        values = read_yaml(here / "agent.yaml", label=f"agents/{name}/agent.yaml").mapping({"title", "description"})
        title = values["title"].string() if "title" in values else name
        description = values["description"].string().strip() if "description" in values else ""
    return Agent(name=name, folder=here, title=title, description=description, main=main)


def list_agents(folder: Path) -> list[Agent]:
    """Every agent that can be used, by name. One that cannot is left out: `load_agent` says why."""
    found: list[Agent] = []
    for name in _names(folder / "agents"):
        try:
            found.append(load_agent(folder, name))
        except CrucibleError:
            continue
    return found


def agent_archive(agent: Agent) -> bytes:
    """The agent's files as a tar archive, for `unpack_job` at SCAFFOLDING. Raises `Refused` for links and too much."""
    return pack(read_files(agent.folder, label=f"agents/{agent.name}"))


def _names(place: Path) -> list[str]:
    if not place.is_dir():
        return []
    names = (entry.name for entry in place.iterdir() if entry.is_dir() and entry.name[0] not in "._")
    return sorted(name for name in names if name.isprintable())  # What is not could not be asked for.
