"""A task family as a folder of text: checked without ever being imported."""

from __future__ import annotations

import ast
import difflib
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from app.domain.errors import NotFound, Refused
from app.task_standard.file_set import PackedFile, digest, read_files
from app.task_standard.manifest import Manifest, TaskManifest, read_manifest
from app.task_standard.places import told

MAX_SOURCE = 1024 * 1024
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
#: What has no meaning in a task's name may not reach a label, a path or an argument.
_TASK = re.compile(r"[^\s/\x00-\x1f\x7f][^/\x00-\x1f\x7f]{0,199}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """All that may be known of a family from outside. `files` are what `digest` was made of."""

    name: str
    folder: Path
    digest: str  #: SHA-256, hexadecimal
    manifest: Manifest | None
    task_names: tuple[str, ...] | None  #: when get_tasks answers a plain literal; None: only the sandbox can tell
    files: tuple[PackedFile, ...]

    def manifest_of(self, task: str) -> TaskManifest | None:
        return self.manifest.tasks.get(task) if self.manifest else None

    def require_task(self, task: str) -> None:
        """Raises `Refused` when `task` certainly does not exist, or is unusable as a name."""
        if not _TASK.fullmatch(task):
            raise Refused(f"{task!r} cannot be a task's name", where=self.name)
        if self.task_names is not None and task not in self.task_names:
            source = told(self.folder / f"{self.name}.py")
            raise NotFound(f"there is no task {task!r}", where=source, todo=nearest(task, self.task_names))


def find_family(folders: Sequence[Path], name: str) -> Family:
    """The family `name` of the first of `folders` that has it. Raises as `load_family` does."""
    _require_name(name)
    places = [folder / "families" for folder in folders]
    here = next((place / name for place in places if (place / name).is_dir()), None)
    return load_family(here) if here is not None else _no_family(name, places)


def load_family(folder: Path) -> Family:
    """Read and check `folder` (its name is the family's). Nothing in it is run.

    Raises `NotFound` when there is none, `Refused` naming file and line for anything a sandbox would stumble over.
    """
    name = folder.name
    _require_name(name)
    if not folder.is_dir():
        _no_family(name, [folder.parent])
    files = read_files(folder, label=told(folder))
    by_path = {file.path: file for file in files}
    label = told(folder / f"{name}.py")
    if f"{name}.py" not in by_path:
        raise Refused("is missing", where=label, todo="It must define class TaskFamily.")
    if "build_steps.json" in by_path:
        raise Refused(
            "build steps are not supported yet",
            where=told(folder / "build_steps.json"),
            todo="Move them into TaskFamily.install.",
        )
    task_names = _checked_source(by_path[f"{name}.py"].data, label)
    has_manifest = "manifest.yaml" in by_path
    return Family(
        name=name,
        folder=folder,
        digest=digest(files),
        manifest=read_manifest(folder / "manifest.yaml", label=told(folder / "manifest.yaml"))
        if has_manifest
        else None,
        task_names=task_names,
        files=files,
    )


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for a name that does not exist."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if near:
        return f"Did you mean {near[0]!r}?"
    shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return f"Known: {shown}." if names else "There are none."


def _require_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise Refused(f"{name!r} cannot be a family's name", todo="Use letters, digits and underscores.")


def _no_family(name: str, places: Sequence[Path]) -> NoReturn:
    others = {entry.name for place in places if place.is_dir() for entry in place.iterdir()}
    raise NotFound(f"there is no family {name!r}", where="families", todo=nearest(name, others))


def _checked_source(data: bytes, label: str) -> tuple[str, ...] | None:
    """The literal task names in a family's module, or None; raises `Refused` when it cannot work."""
    if len(data) > MAX_SOURCE:
        raise Refused(f"is larger than {MAX_SOURCE // 1024} KiB", where=label, todo="Put data into assets/.")
    tree = _parsed(data, label)
    family = next((node for node in _bindings(tree.body) if _binds(node, "TaskFamily")), None)
    if family is None:
        raise Refused("does not define class TaskFamily", where=label, todo="The Task Standard requires it.")
    if not isinstance(family, ast.ClassDef):
        return None  # imported or assigned: only the sandbox can look into it
    get_tasks = next((node for node in _bindings(family.body) if _binds(node, "get_tasks")), None)
    if get_tasks is None:
        inherits = any(not (isinstance(base, ast.Name) and base.id == "object") for base in family.bases)
        if inherits:
            return None
        raise Refused("class TaskFamily has no get_tasks", where=f"{label}:{family.lineno}", todo="Add it.")
    for node in _bindings(family.body):
        if isinstance(node, ast.AsyncFunctionDef):
            raise Refused(f"{node.name} is async", where=f"{label}:{node.lineno}", todo="Write a plain function.")
    return _literal_names(get_tasks) if isinstance(get_tasks, ast.FunctionDef) else None


def _parsed(data: bytes, label: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the family's style is its author's affair
            return ast.parse(data, filename=label)
    except SyntaxError as error:
        raise Refused(f"is not valid Python: {error.msg}", where=f"{label}:{error.lineno or 1}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise Refused(f"cannot be parsed: {error or type(error).__name__}", where=label) from None


def _bindings(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run when the block runs, into if and try, not into functions."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try | ast.With):
            yield from _bindings(node.body)
        if isinstance(node, ast.If | ast.Try):
            yield from _bindings(node.orelse)
        if isinstance(node, ast.Try):
            for handler in node.handlers:
                yield from _bindings(handler.body)


def _binds(node: ast.stmt, name: str) -> bool:
    match node:
        case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
            return node.name == name
        case ast.Import() | ast.ImportFrom():
            return any((alias.asname or alias.name) in {name, "*"} for alias in node.names)
        case ast.Assign():
            return any(isinstance(target, ast.Name) and target.id == name for target in node.targets)
        case ast.AnnAssign():
            return isinstance(node.target, ast.Name) and node.target.id == name
        case _:
            return False


def _literal_names(function: ast.FunctionDef) -> tuple[str, ...] | None:
    returns = [node for node in ast.walk(function) if isinstance(node, ast.Return)]
    if len(returns) != 1 or not isinstance(returns[0].value, ast.Dict):
        return None
    keys = [key.value if isinstance(key, ast.Constant) else None for key in returns[0].value.keys]
    names = tuple(key for key in keys if isinstance(key, str))
    return names if len(names) == len(keys) else None
