"""YAML without its traps: no aliases, no tags, no duplicate keys, keys stay text, every value knows its line."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import yaml

from app.domain.errors import Refused
from app.domain.sandboxes import never_granted

MAX_BYTES = 256 * 1024
MAX_DEPTH = 24
#: The C one where it is built in: a file of the greatest size is read in a tenth of the time.
_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(?:[0-9]{1,18}\.[0-9]{0,18}|\.[0-9]{1,18}|[0-9]{1,18})(?:[eE][-+]?[0-9]{1,3})?")

Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One value with its place. The methods answer it as what is expected, or raise `Refused` naming the line."""

    file: str
    line: int  #: counts from 1
    path: str  #: for people: "tasks.hello.resources"
    content: Scalar | tuple[Node, ...] | dict[str, Node]
    text: str = ""  #: a scalar as it was written, before it was read as a number

    @property
    def where(self) -> str:
        return f"{self.file}:{self.line}"

    def refuse(self, what: str, todo: str = "") -> NoReturn:
        raise Refused(what, where=self.where, todo=todo)

    def mapping(self, allowed: Collection[str] | None = None) -> dict[str, Node]:
        """The entries; with `allowed`, no other key may be there. An empty value counts as no entries."""
        if self.content is None:
            return {}
        if not isinstance(self.content, dict):
            self.refuse(f"{self._name} must be a list of `key: value` lines")
        for key, node in self.content.items():
            if allowed is not None and key not in allowed:
                if (why := never_granted(key)) is not None:
                    node.refuse(f"{self._name} asks for {key}", f"No sandbox gets it: {why}.")
                near = difflib.get_close_matches(key, allowed, n=1)
                hint = f"Did you mean {near[0]!r}?" if near else f"Known keys: {', '.join(sorted(allowed))}."
                node.refuse(f"{self._name} has no key {key!r}", hint)
        return self.content

    def sequence(self) -> tuple[Node, ...]:
        if self.content is None:
            return ()
        if not isinstance(self.content, tuple):
            self.refuse(f"{self._name} must be a list with `- ` in front of each item")
        return self.content

    def string(self) -> str:
        """A scalar's text as it was written: `1` and `1.10` stay what they are."""
        if self.content is None or isinstance(self.content, dict | tuple):
            self.refuse(f"{self._name} must be a text")
        return self.text

    def number(self) -> float:
        if isinstance(self.content, bool) or not isinstance(self.content, int | float):
            self.refuse(f"{self._name} must be a number")
        if not math.isfinite(self.content):
            self.refuse(f"{self._name} is not finite")
        return float(self.content)

    def boolean(self) -> bool:
        if not isinstance(self.content, bool):
            self.refuse(f"{self._name} must be true or false")
        return self.content

    def scalar(self) -> Scalar:
        if isinstance(self.content, dict | tuple):
            self.refuse(f"{self._name} must be a single value")
        return self.content

    @property
    def _name(self) -> str:
        return f"`{self.path}`" if self.path else "the file"


def read_yaml(file: Path, *, label: str | None = None, max_bytes: int = MAX_BYTES) -> Node:
    """The only document of `file`. Raises `Refused` naming file and line; `label` is how people know the file."""
    label = label or file.name
    try:
        with file.open("rb") as opened:
            data = opened.read(max_bytes + 1)
    except OSError as error:
        raise Refused(f"cannot be read: {error.strerror}", where=label) from error
    if len(data) > max_bytes:
        raise Refused(f"is larger than {max_bytes // 1024} KiB", where=label, todo="Shorten it.")
    return parse_yaml(data, label)


def parse_yaml(data: bytes, label: str) -> Node:
    """The only document in `data`. Raises `Refused` naming the line."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Refused("is not UTF-8 text", where=f"{label}:{line}", todo="Save it as UTF-8.") from None
    try:
        return _Reader(text, label).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{label}:{mark.line + 1}" if mark else label
        raise Refused(f"is not readable YAML: {error.problem or error.context}", where=place) from None
    except yaml.YAMLError as error:
        raise Refused(f"is not readable YAML: {error}", where=label) from None


class _Reader:
    """Builds nodes from parser events: nothing is constructed that could expand or run."""

    def __init__(self, text: str, file: str) -> None:
        self._events = yaml.parse(text, Loader=_LOADER)
        self._file = file

    def document(self) -> Node:
        found: Node | None = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if found is not None:
                    raise Refused("holds more than one document", where=self._place(event), todo="Remove the `---`.")
            elif isinstance(event, yaml.NodeEvent):
                found = self._node(event, "", 1)
        if found is None:
            raise Refused("is empty", where=self._file)
        return found

    def _node(self, event: yaml.Event, path: str, depth: int) -> Node:
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise Refused("uses an anchor or alias (& or *)", where=self._place(event), todo="Write the value out.")
        if depth > MAX_DEPTH:
            raise Refused(f"is nested deeper than {MAX_DEPTH}", where=self._place(event))
        if (tag := getattr(event, "tag", None)) is not None:
            raise Refused(f"uses the tag {tag!r}", where=self._place(event), todo="Write a plain value.")
        if isinstance(event, yaml.ScalarEvent):
            content = event.value if event.style else _resolve(event.value)
            return self._made(event, path, content, event.value)
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Node] = []
            while not isinstance(inner := next(self._events), yaml.SequenceEndEvent):
                items.append(self._node(inner, f"{path}[{len(items) + 1}]", depth + 1))
            return self._made(event, path, tuple(items))
        entries: dict[str, Node] = {}
        while not isinstance(inner := next(self._events), yaml.MappingEndEvent):
            key = self._node(inner, path, depth + 1).string() if isinstance(inner, yaml.ScalarEvent) else None
            if key is None:
                raise Refused("has a key that is not plain text", where=self._place(inner))
            if key in entries:
                raise Refused(
                    f"has {key!r} twice", where=self._place(inner), todo=f"The first is on line {entries[key].line}."
                )
            entries[key] = self._node(next(self._events), f"{path}.{key}" if path else key, depth + 1)
        return self._made(event, path, entries)

    def _made(
        self, event: yaml.Event, path: str, content: Scalar | tuple[Node, ...] | dict[str, Node], text: str = ""
    ) -> Node:
        return Node(file=self._file, line=_line(event), path=path, content=content, text=text)

    def _place(self, event: yaml.Event) -> str:
        return f"{self._file}:{_line(event)}"


def _resolve(text: str) -> Scalar:
    """YAML 1.2's core: `no` and `on` are words, `012` is a number in base ten."""
    if text in {"", "~", "null", "Null", "NULL"}:
        return None
    if text in {"true", "True", "TRUE"}:
        return True
    if text in {"false", "False", "FALSE"}:
        return False
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 0
