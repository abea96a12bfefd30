"""A family is read and checked without being imported; every complaint names file and line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.domain.errors import NotFound, Refused
from app.task_standard.family import load_family
from tests.integration.task_standard.conftest import SOURCE, House


def refusal(folder: Path) -> str:
    with pytest.raises(Refused) as refused:
        load_family(folder)
    return str(refused.value)


def test_a_family_is_known_by_its_files(house: House) -> None:
    family = load_family(house.family)
    assert family.name == "fam"
    assert family.task_names == ("1", "two")
    assert [file.path for file in family.files] == ["assets/words.txt", "fam.py", "manifest.yaml"]
    assert family.manifest is not None
    assert list(family.manifest.tasks) == ["1", "two"]
    assert family.manifest.tasks["1"].memory_bytes == 256 * 2**20
    assert load_family(house.family) == family


def test_nothing_of_a_family_runs_on_the_host(house: House, tmp_path: Path) -> None:
    house.write("families/fam/fam.py", f"open({str(tmp_path / 'ran')!r}, 'w')\nimport nosuchmodule\n{SOURCE}")
    load_family(house.family)
    assert not (tmp_path / "ran").exists()


def test_a_manifest_is_not_needed(house: House) -> None:
    (house.family / "manifest.yaml").unlink()
    family = load_family(house.family)
    assert family.manifest is None
    assert family.manifest_of("1") is None


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("x = 1\n", "{fam}/fam.py: does not define class TaskFamily"),
        ("class TaskFamily:\n    pass\n", "{fam}/fam.py:1: class TaskFamily has no get_tasks"),
        ("\n\ndef x(:\n", "{fam}/fam.py:3: is not valid Python"),
        ("x = '\0'\n", "{fam}/fam.py"),
        ("# -*- coding: nosuch -*-\n" + SOURCE, "{fam}/fam.py"),
        (b"x = '\xff'\n" + SOURCE.encode(), "{fam}/fam.py"),
        ("x = " + "(" * 1000 + ")" * 1000 + "\n" + SOURCE, "{fam}/fam.py"),
        ("x = " + "-" * 100_000 + "1\n" + SOURCE, "{fam}/fam.py"),
        ("#" * 1024 * 1024 + SOURCE, "{fam}/fam.py: is larger than 1024 KiB"),
        (SOURCE.replace("def get_tasks", "async def get_tasks"), "{fam}/fam.py:6: get_tasks is async"),
    ],
)
def test_a_module_that_cannot_work_is_refused(house: House, source: str | bytes, complaint: str) -> None:
    house.write("families/fam/fam.py", source)
    assert refusal(house.family).startswith(complaint.format(fam=house.family))


@pytest.mark.parametrize(
    "source",
    [
        "from families import TaskFamily\n",
        "TaskFamily = make()\n",
        "import x as TaskFamily\n",
        "class TaskFamily(Base):\n    pass\n",
        "if True:\n    class TaskFamily:\n        def get_tasks():\n            return {name: 1 for name in 'ab'}\n",
        "try:\n    import x\nexcept ImportError:\n    pass\nclass TaskFamily:\n    get_tasks = staticmethod(tasks)\n",
        "class TaskFamily:\n    def get_tasks():\n        return {**OTHERS, 'a': 1}\n",
        "class TaskFamily:\n    def get_tasks():\n        if x:\n            return {}\n        return {'a': 1}\n",
    ],
)
def test_what_only_the_sandbox_can_tell_is_left_to_it(house: House, source: str) -> None:
    house.write("families/fam/fam.py", source)
    family = load_family(house.family)
    assert family.task_names is None
    family.require_task("anything at all")


def test_a_task_that_is_not_there_names_the_nearest(house: House) -> None:
    with pytest.raises(NotFound, match=rf"^{house.family}/fam.py: there is no task 'tow'. Did you mean 'two'\?"):
        load_family(house.family).require_task("tow")
    for name in ("a/b", "", " a", "a\nb", "x" * 300):
        with pytest.raises(Refused):
            load_family(house.family).require_task(name)


@pytest.mark.parametrize(
    ("manifest", "complaint"),
    [
        (
            "tasks:\n  1:\n    resources: {cpu: 1}\n",
            "manifest.yaml:3: `tasks.1.resources` has no key 'cpu'. Did you mean",
        ),
        ("tasks:\n  1:\n    resources: {cpus: lots}\n", "manifest.yaml:3: `tasks.1.resources.cpus` must be a number"),
        ("tasks:\n  1:\n    resources: {memory_gb: -1}\n", "manifest.yaml:3: memory_gb is -1"),
        ("tasks:\n  1: {}\n  1: {}\n", "manifest.yaml:3: has '1' twice"),
        ("tasks: [1, 2]\n", "manifest.yaml:1: `tasks` must be a list of `key: value` lines"),
        ("tasks:\n  1: &a {}\n  2: *a\n", "manifest.yaml:2: uses an anchor"),
        ("author: me\n", "manifest.yaml:1: the file has no key 'author'"),
        ("tasks:\n  1:\n    resources: {gpu: {model: h100}}\n", "manifest.yaml:3: `gpu` needs"),
        ("tasks:\n  1:\n    scoring: {visible_to_agent: maybe}\n", "manifest.yaml:3: "),
        ("meta: {crucible: {network: please}}\n", "manifest.yaml:1: `network` can only be `optional`"),
        ("x" * 300_000, "manifest.yaml: is larger than 256 KiB"),
    ],
)
def test_a_broken_manifest_is_refused_with_its_line(house: House, manifest: str, complaint: str) -> None:
    house.write("families/fam/manifest.yaml", manifest)
    assert refusal(house.family).startswith(f"{house.family}/{complaint}")


def test_a_manifest_with_everything_is_read(house: House) -> None:
    house.write(
        "families/fam/manifest.yaml",
        "version: 1.10\nmeta: {anything: [goes, {here: 1}]}\ntasks:\n  t:\n    version: 2.0.0\n"
        "    meta: {crucible: {network: optional}, platforms: [x]}\n"
        "    resources: {gpu: {count_range: [1, 2], model: h100}, cpus: 0.5, memory_gb: 1.5, storage_gb: 3}\n"
        "    scoring: {visible_to_agent: false, score_on_usage_limits: true, instructions: Ask once.}\n",
    )
    family = load_family(house.family)
    assert family.manifest is not None
    assert family.manifest.version == "1.10"
    task = family.manifest.tasks["t"]
    assert (task.version, task.cpus, task.memory_bytes, task.gpus) == ("2.0.0", 0.5, 1536 * 2**20, 1)
    assert (task.visible_to_agent, task.score_on_usage_limits, task.network_optional) == (False, True, True)
    assert task.scoring_instructions == "Ask once."


def test_a_very_large_manifest_is_read(house: House) -> None:
    tasks = "".join(f"  task-{number}:\n    resources: {{cpus: 1}}\n" for number in range(3000))
    house.write("families/fam/manifest.yaml", f"tasks:\n{tasks}")
    manifest = load_family(house.family).manifest
    assert manifest is not None
    assert len(manifest.tasks) == 3000


def test_links_and_pipes_are_refused_and_caches_left_out(house: House) -> None:
    house.write("families/fam/__pycache__/fam.cpython-311.pyc", b"x")
    house.write("families/fam/.git/config", "x")
    assert len(load_family(house.family).files) == 3
    (house.family / "assets" / "link").symlink_to("/etc/passwd")
    assert refusal(house.family).startswith(f"{house.family}/assets/link: is a symbolic link")
    (house.family / "assets" / "link").unlink()
    (house.family / "loop").symlink_to(".")
    assert refusal(house.family).startswith(f"{house.family}/loop: is a symbolic link")
    (house.family / "loop").unlink()
    os.mkfifo(house.family / "pipe")
    assert refusal(house.family).startswith(f"{house.family}/pipe: is not an ordinary file")


def test_too_much_is_refused(house: House) -> None:
    with (house.family / "assets" / "large").open("wb") as file:
        file.truncate(65 * 2**20)
    assert refusal(house.family).startswith(f"{house.family}: holds more than")


def test_names_and_absences_are_told(house: House, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"there is no family 'fan'. Did you mean 'fam'\?"):
        load_family(house.folder / "families" / "fan")
    with pytest.raises(Refused, match="cannot be a family's name"):
        load_family(house.folder / "families" / "..evil")
    house.write("families/empty/readme.txt", "x")
    assert refusal(house.folder / "families" / "empty").startswith(
        f"{house.folder}/families/empty/empty.py: is missing"
    )
    house.write("families/fam/build_steps.json", "[]")
    assert refusal(house.family).startswith(f"{house.family}/build_steps.json: build steps are not supported yet")


def test_a_file_whose_name_is_no_text_is_refused(house: House) -> None:
    Path(os.fsdecode(os.fsencode(house.family) + b"/\xff.txt")).write_text("")
    assert "'\\udcff.txt': has a name that is not UTF-8" in refusal(house.family)


def test_folders_without_end_are_refused(house: House) -> None:
    here = os.open(house.family, os.O_RDONLY)
    for _ in range(100):
        os.mkdir("a", dir_fd=here)
        here, above = os.open("a", os.O_RDONLY, dir_fd=here), here
        os.close(above)
    os.close(here)
    assert "is deeper than 64 folders" in refusal(house.family)
