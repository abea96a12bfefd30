"""Fill the agent's empty home, as the agent: populate.py COPY HOME. What the agent may not read is not carried over."""

from __future__ import annotations

import os
import shutil
import stat
import sys


def copy(source: str, target: str, left: list[str]) -> None:
    try:
        status = os.lstat(source)
        if stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(source), target)
        elif stat.S_ISDIR(status.st_mode):
            names = os.listdir(source)
            os.makedirs(target, exist_ok=True)
            for name in names:
                copy(os.path.join(source, name), os.path.join(target, name), left)
            os.chmod(target, stat.S_IMODE(status.st_mode) | 0o700)
        elif stat.S_ISREG(status.st_mode):
            shutil.copyfile(source, target)
            os.chmod(target, stat.S_IMODE(status.st_mode) & 0o777)
            os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
    except PermissionError:
        left.append(source)


def main() -> None:
    left: list[str] = []
    for name in os.listdir(sys.argv[1]):
        copy(os.path.join(sys.argv[1], name), os.path.join(sys.argv[2], name), left)
    for path in left[:20]:
        sys.stderr.write(f"populate: the agent may not read {path}\n")


if __name__ == "__main__":
    main()
