"""The locks are complete and name no host; docs/dependencies.md tells of each locked package."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements.lock", "requirements-dev.lock")


def locked(name: str) -> dict[str, str]:
    packages = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE))
    assert packages, f"{name} locks nothing"
    return packages


def documented() -> dict[str, str]:
    text = (ROOT / "docs" / "dependencies.md").read_text().split("## In the browser")[0]
    return dict(re.findall(r"^\| ([a-z0-9-]+) \| (\d\S*) \|", text, re.MULTILINE))


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_no_host_and_pins_each_package_with_hashes(name: str) -> None:
    text = (ROOT / name).read_text()
    assert not re.search(r"https?://|--(extra-)?index-url|--find-links|--trusted-host", text)
    for block in re.split(r"^(?=[a-z0-9-]+==)", text, flags=re.MULTILINE)[1:]:
        assert "--hash=sha256:" in block, block.splitlines()[0]


def test_the_development_lock_has_what_the_runtime_lock_has_in_the_same_versions() -> None:
    runtime, development = (locked(name) for name in LOCKS)
    assert runtime.items() <= development.items()


def test_each_wanted_package_is_locked() -> None:
    for wanted, lock in (("requirements.in", LOCKS[0]), ("requirements-dev.in", LOCKS[1])):
        names = set(re.findall(r"^([a-z][a-z0-9-]*)", (ROOT / wanted).read_text(), re.MULTILINE))
        assert names <= set(locked(lock)), f"run scripts/lock: {wanted} has what {lock} lacks"


def test_the_page_on_dependencies_lists_each_locked_package_in_its_version() -> None:
    assert documented() == locked(LOCKS[1])
