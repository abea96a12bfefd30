"""Manifests made to do harm: each is refused with its place, whatever it would have grown to."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from app.domain.errors import Refused
from app.proof.attacks.files import MANIFESTS
from app.task_standard import strict_yaml
from app.task_standard.strict_yaml import parse_yaml

MORE = {
    "flow in flow": b"a: " + b"{a: " * 60_000,
    "sequences in a line": b"- " * 100_000,
    "keys without end": b"? " * 100_000,
    "anchors without end": b"&a " * 60_000,
    "a set tag": b"a: !!set {x}\n",
    "an own tag": b"a: !own x\n",
    "an alias to itself": b"&a [*a]\n",
    "ten levels of aliases": b"".join(f"{b}: &{b} [*{a}, *{a}]\n".encode() for a, b in pairwise("abcdefghijk")),
    "a list as a key": b"? [a, b]\n: c\n",
    "an open quote": b"a: '" + b"x" * 100_000,
    "a tab for a blank": b"a:\n\t- b\n",
    "nothing": b"",
    "a byte order of two bytes": "a: b".encode("utf-16"),
}


@pytest.mark.parametrize("name", [*MANIFESTS, *MORE])
def test_a_manifest_made_to_do_harm_is_refused_with_its_place(name: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_yaml({**MANIFESTS, **MORE}[name], "manifest.yaml").mapping({"version", "meta", "tasks"})
    assert str(refused.value).startswith("manifest.yaml")
    assert len(str(refused.value)) < 400


def test_numbers_of_any_length_stay_what_they_are() -> None:
    root = parse_yaml(b"big: " + b"9" * 5000 + b"\nfloat: 1e999\nhex: 0x10\nold: 0777\n", "x.yaml").mapping()
    assert root["big"].string() == "9" * 5000
    for name in ("big", "hex"):
        with pytest.raises(Refused):
            root[name].number()


@pytest.mark.parametrize("loader", ["CSafeLoader", "SafeLoader"])
def test_both_parsers_read_the_same(loader: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import yaml

    chosen: Callable[[str], object] | None = getattr(yaml, loader, None)
    if chosen is None:
        return  # built without it, and then nothing uses it
    monkeypatch.setattr(strict_yaml, "_LOADER", chosen)
    text = b"a: 'yes'\nb: yes\nc: [1, 2.5, ~, true]\nd: |\n  two\n  lines\ne: \"\\u00e9\"\n"
    root = parse_yaml(text, "x.yaml").mapping()
    assert [root[key].content for key in "abd"] == ["yes", "yes", "two\nlines\n"]
    assert [each.content for each in root["c"].sequence()] == [1, 2.5, None, True]
    assert (root["e"].content, root["e"].line) == ("é", 7)
