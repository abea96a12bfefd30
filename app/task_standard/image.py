"""The image of a task family: its name says exactly what it was made of."""

from __future__ import annotations

import hashlib
import re

from app.task_standard.family import Family
from app.task_standard.file_set import pack

PREFIX = "crucible-family/"
#: Goes up when the way an image is built changes, so that none of the old way is used.
RECIPE = 1


def image_reference(family: Family, base_image_id: str) -> str:
    """`crucible-family/<name>:<16 digits>`, from the family's files, the base image and the recipe."""
    whole = hashlib.sha256(f"{RECIPE}\n{base_image_id}\n{family.digest}\n".encode())
    # A reference is lower case with single separators; the digest tells families apart whose names become the same.
    name = re.sub("_+", "_", family.name.lower()).strip("_")
    return f"{PREFIX}{name}:{whole.hexdigest()[:16]}"


def family_archive(family: Family) -> bytes:
    """The family's files as a tar archive, deterministic, for `unpack_job` at /root."""
    return pack(family.files)
