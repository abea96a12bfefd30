"""Pack what the agent left in its home, as the agent: collect.py HOME MAX_BYTES MAX_FILES [PATH=VALUE …].

A tar archive goes to the descriptor in CRUCIBLE_RESULT_FD. Ordinary files and folders only; no link is followed, no
device or pipe is opened. `submission.txt` comes first, then everything near the top before what lies deep, so that a
flood of files cannot push it out. How much was left out stands in the archive's global header. A small file at a
given PATH that holds VALUE was laid out by us: it stays, uncounted, and so does its folder when nothing else is there.
"""

from __future__ import annotations

import os
import stat
import sys
import tarfile
from itertools import islice

MAX_DEPTH = 32
MAX_PATH = 1024


def usable(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return len(name) <= MAX_PATH


def order(entry: os.DirEntry[str]) -> tuple[bool, str]:
    return (entry.name != "submission.txt", entry.name)


def plan(home: str, max_bytes: int, max_files: int) -> tuple[list[tuple[str, os.stat_result]], int]:
    """([(path, status)], left out), breadth first."""
    chosen: list[tuple[str, os.stat_result]] = []
    left, room = 0, max_bytes
    level = [""]
    for _ in range(MAX_DEPTH + 1):
        deeper: list[str] = []
        for folder in level:
            try:
                with os.scandir(os.path.join(home, folder)) as found:
                    # A folder of millions of entries is looked at in part only.
                    entries = list(islice(found, 4 * max_files + 1))
            except OSError:
                left += 1
                continue
            for entry in sorted(entries, key=order):
                path = os.path.join(folder, entry.name)
                status = entry.stat(follow_symlinks=False)
                is_folder = stat.S_ISDIR(status.st_mode)
                size = status.st_size if stat.S_ISREG(status.st_mode) else 0
                kept = is_folder or (stat.S_ISREG(status.st_mode) and os.access(entry.path, os.R_OK))
                if not kept or not usable(path) or len(chosen) >= max_files or size > room:
                    left += 1
                    continue
                room -= size
                chosen.append((path, status))
                if is_folder:
                    deeper.append(path)
        level = deeper
    return chosen, left + len(level)


def without(
    home: str, chosen: list[tuple[str, os.stat_result]], ours: dict[str, str]
) -> list[tuple[str, os.stat_result]]:
    """`chosen` without what is ours and unchanged."""
    gone = {path for path, status in chosen if path in ours and holds(os.path.join(home, path), status, ours[path])}
    for path in sorted({os.path.dirname(each) for each in gone} - {""}):
        if all(not each.startswith(path + "/") or each in gone for each, _ in chosen):
            gone.add(path)
    return [(path, status) for path, status in chosen if path not in gone]


def holds(path: str, status: os.stat_result, value: str) -> bool:
    if not stat.S_ISREG(status.st_mode) or status.st_size > 4096:
        return False
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        return value.encode() in file.read(4096)


def add(archive: tarfile.TarFile, home: str, path: str, status: os.stat_result) -> None:
    member = tarfile.TarInfo(path)
    member.mode = stat.S_IMODE(status.st_mode)
    member.mtime = int(status.st_mtime)
    if stat.S_ISDIR(status.st_mode):
        member.type = tarfile.DIRTYPE
        archive.addfile(member)
        return
    member.size = status.st_size
    handle = os.open(os.path.join(home, path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as source:
        archive.addfile(member, source)


def main() -> None:
    home, max_bytes, max_files = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    result = os.fdopen(int(os.environ["CRUCIBLE_RESULT_FD"]), "wb")
    chosen, left = plan(home, max_bytes, max_files)
    chosen = without(home, chosen, dict(given.rsplit("=", 1) for given in sys.argv[4:]))
    header = {"crucible.left_out": str(left)}
    with tarfile.open(fileobj=result, mode="w|", format=tarfile.PAX_FORMAT, pax_headers=header) as archive:
        for path, status in chosen:
            add(archive, home, path, status)
    result.close()


if __name__ == "__main__":
    main()
