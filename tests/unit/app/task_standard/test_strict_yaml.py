"""YAML is read without its traps, and every complaint names a line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import Refused
from app.task_standard.strict_yaml import MAX_DEPTH, Node, parse_yaml


def read(text: str) -> Node:
    return parse_yaml(text.encode(), "file.yaml")


def test_keys_that_look_like_numbers_stay_text() -> None:
    assert list(read("1: a\n0123: b\ntrue: c\n1.50: d\n").mapping()) == ["1", "0123", "true", "1.50"]


def test_values_know_their_kind_and_keep_their_spelling() -> None:
    values = read('int: 12\nfloat: 1.50\nyes: true\nword: no\nquoted: "12"\nnone:\nexponent: 1e3\n').mapping()
    assert values["int"].number() == 12
    assert values["float"].number() == 1.5
    assert values["float"].string() == "1.50"
    assert values["yes"].boolean() is True
    assert values["word"].scalar() == "no"
    assert values["quoted"].scalar() == "12"
    assert values["none"].scalar() is None
    assert values["exponent"].number() == 1000


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("a: 1\nb: 2\na: 3\n", "file.yaml:3", "has 'a' twice. The first is on line 1."),
        ("a: &x 1\nb: *x\n", "file.yaml:1", "uses an anchor or alias"),
        ("a: 1\nb: *x\n", "file.yaml:2", "uses an anchor or alias"),
        ("a: !!python/object/apply:os.system [id]\n", "file.yaml:1", ""),
        ("a: !x y\n", "file.yaml:1", "uses the tag '!x'"),
        ("a: 1\n---\nb: 2\n", "file.yaml:2", "more than one document"),
        ("a: 1\n  b: 2\n", "file.yaml:2", "not readable YAML"),
        ("a: [1, 2\n", "file.yaml:", "not readable YAML"),
        ("? [a]\n: 1\n", "file.yaml:1", "a key that is not plain text"),
        ("", "file.yaml", "is empty"),
        ("\t: 1\n", "file.yaml:1", "not readable YAML"),
        ("a: \x01\n", "file.yaml", "not readable YAML"),
    ],
)
def test_what_cannot_be_taken_is_refused_with_its_line(text: str, where: str, what: str) -> None:
    with pytest.raises(Refused) as refused:
        read(text)
    assert str(refused.value).startswith(where)
    assert what in str(refused.value)


def test_tags_on_collections_are_refused_too() -> None:
    with pytest.raises(Refused, match="tag"):
        read("a: !!set {b, c}\n")
    with pytest.raises(Refused, match="tag"):
        read("!!omap\n- a: 1\n")


def test_text_that_is_not_utf8_is_refused_with_its_line() -> None:
    with pytest.raises(Refused, match=r"^file.yaml:2: is not UTF-8"):
        parse_yaml(b"a: 1\nb: \xff\n", "file.yaml")


def test_nesting_has_an_end() -> None:
    assert read("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    with pytest.raises(Refused, match="nested deeper"):
        read("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))
    with pytest.raises(Refused, match="nested deeper"):
        read("[" * 100_000)


def test_a_wrong_kind_is_refused_with_the_path_to_it() -> None:
    root = read("tasks:\n  hello:\n    cpus: many\n    list: {a: 1}\n")
    hello = root.mapping()["tasks"].mapping()["hello"].mapping()
    with pytest.raises(Refused, match=r"^file.yaml:3: `tasks.hello.cpus` must be a number"):
        hello["cpus"].number()
    with pytest.raises(Refused, match=r"^file.yaml:4: `tasks.hello.list` must be a list"):
        hello["list"].sequence()
    with pytest.raises(Refused, match=r"^file.yaml:4: `tasks.hello.list` must be a text"):
        hello["list"].string()
    with pytest.raises(Refused, match=r"^file.yaml:3: `tasks.hello.cpus` must be true or false"):
        hello["cpus"].boolean()


def test_an_unknown_key_names_the_nearest_known_one() -> None:
    with pytest.raises(Refused, match=r"^file.yaml:2: the file has no key 'taks'. Did you mean 'tasks'\?"):
        read("title: x\ntaks: []\n").mapping({"title", "tasks"})


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    complaint, line = "file.yaml", 1
    try:
        line = parse_yaml(data, "file.yaml").line
    except Refused as refused:
        complaint = str(refused)
    assert complaint.startswith("file.yaml")
    assert line >= 1


@given(st.recursive(st.text("ab:-[]{}&*!#'\"|>\n ", max_size=8), lambda inner: st.lists(inner, max_size=3)))
def test_yaml_like_text_is_read_or_refused(parts: object) -> None:
    for text in (str(parts), f"a: {parts}"):
        complaint, line = "file.yaml", 1
        try:
            line = read(text).line
        except Refused as refused:
            complaint = str(refused)
        assert complaint.startswith("file.yaml")
        assert line >= 1
