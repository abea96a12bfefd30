"""Lay out honeytokens, as root: plant.py, with {path: [text, uid, mode]} as JSON on stdin.

Answers the paths that were laid out as a JSON list on the descriptor in CRUCIBLE_RESULT_FD. What the task has put at
a path stays, and no link is followed: a path below one is left out.
"""

from __future__ import annotations

import json
import os
import stat
import sys


def folder(path: str, uid: int) -> bool:
    """Make the folders of `path`; False when a part of it is something else."""
    at = "/"
    for part in path.strip("/").split("/"):
        at = os.path.join(at, part)
        if not os.path.lexists(at):
            os.mkdir(at, 0o755)
            os.lchown(at, uid, uid)
        elif not stat.S_ISDIR(os.lstat(at).st_mode):
            return False
    return True


def plant(path: str, text: str, uid: int, mode: int) -> bool:
    if not folder(os.path.dirname(path), uid):
        return False
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except OSError:
        return False
    with os.fdopen(handle, "w") as file:
        file.write(text)
        os.fchown(handle, uid, uid)
        os.fchmod(handle, mode)
        os.utime(handle, (1_700_000_000, 1_700_000_000))
    return True


def main() -> None:
    wanted = json.loads(sys.stdin.buffer.read())
    planted = [path for path, (text, uid, mode) in wanted.items() if plant(path, text, uid, mode)]
    with os.fdopen(int(os.environ["CRUCIBLE_RESULT_FD"]), "w") as result:
        json.dump(planted, result)


if __name__ == "__main__":
    main()
