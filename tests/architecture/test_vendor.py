"""What browsers are given from static/vendor is what the packages published, listed and licensed."""

import base64
import hashlib
import json
from pathlib import Path

VENDOR = Path(__file__).parents[2] / "static" / "vendor"
PERMISSIVE = {"0BSD", "MIT", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0", "ISC"}


def manifest() -> dict[str, dict[str, str]]:
    entries: dict[str, dict[str, str]] = json.loads((VENDOR / "manifest.json").read_text())
    assert entries, "static/vendor/manifest.json lists nothing"
    return entries


def files() -> set[str]:
    return {str(path.relative_to(VENDOR)) for path in VENDOR.rglob("*") if path.is_file()} - {"manifest.json"}


def test_each_vendored_file_has_the_digest_that_the_manifest_gives() -> None:
    for path, entry in manifest().items():
        digest = base64.b64encode(hashlib.sha384((VENDOR / path).read_bytes()).digest()).decode()
        assert entry["integrity"] == f"sha384-{digest}", f"static/vendor/{path} differs from what was vendored"


def test_no_vendored_file_is_unlisted_and_none_is_missing() -> None:
    assert files() == set(manifest())


def test_each_vendored_package_is_in_a_folder_of_its_name_and_version_with_a_permissive_licence() -> None:
    for path, entry in manifest().items():
        folder = path.split("/")[0]
        assert entry["package"] == "@".join(folder.rsplit("-", 1)), path
        assert entry["licence"] in PERMISSIVE, path
        assert f"{folder}/LICENSE" in manifest(), f"{folder} came without its licence"
