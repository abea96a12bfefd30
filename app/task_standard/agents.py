"""Agents as folders: `main.sh` or `main.py`, and what people call them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.domain.errors import CrucibleError, NotFound, Refused
from app.task_standard.family import nearest
from app.task_standard.file_set import pack, read_files
from app.task_standard.places import told
from app.task_standard.strict_yaml import read_yaml


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    name: str
    folder: Path
    title: str
    description: str
    main: str  #: "main.sh" or "main.py"


def load_agent(folders: Sequence[Path], name: str) -> Agent:
    """The agent `name` of the first of `folders` that has it. Raises `NotFound`, or `Refused` naming file and line."""
    known = _places(folders)
    if name not in known:
        raise NotFound(f"there is no agent {name!r}", where="agents", todo=nearest(name, known))
    here = known[name]
    main = next((main for main in ("main.sh", "main.py") if (here / main).is_file()), None)
    if main is None:
        raise Refused("has neither main.sh nor main.py", where=told(here), todo="One of them is what runs.")
    title, description = name, ""
    if (here / "agent.yaml").is_file():
        values = read_yaml(here / "agent.yaml", label=told(here / "agent.yaml")).mapping({"title", "description"})
        title = values["title"].string() if "title" in values else name
        description = values["description"].string().strip() if "description" in values else ""
    return Agent(name=name, folder=here, title=title, description=description, main=main)


def list_agents(folders: Sequence[Path]) -> list[Agent]:
    """Every agent that can be used, by name. One that cannot is left out: `load_agent` says why."""
    found: list[Agent] = []
    for name in _places(folders):
        try:
            found.append(load_agent(folders, name))
        except CrucibleError:
            continue
    return found


def agent_archive(agent: Agent) -> bytes:
    """The agent's files as a tar archive, for `unpack_job` at SCAFFOLDING. Raises `Refused` for links and too much."""
    return pack(read_files(agent.folder, label=told(agent.folder)))


def _places(folders: Sequence[Path]) -> dict[str, Path]:
    """Each agent's folder, by name; of two with the same name the one whose folder comes first."""
    there = [place for folder in reversed(folders) if (place := folder / "agents").is_dir()]
    found = {here.name: here for place in there for here in place.iterdir() if here.is_dir()}
    # What cannot be printed could not be asked for.
    return {name: here for name, here in sorted(found.items()) if name[0] not in "._" and name.isprintable()}
