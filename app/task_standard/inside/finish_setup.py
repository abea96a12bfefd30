"""After `start`: hand the home to the agent, write the instructions (stdin), keep a copy of it for the agent's sandbox.

finish_setup.py HOME COPY UID GID KEEP_OWNERS. Files of group `protected` and hidden folders directly in the home keep
their owner, as the Task Standard's other runners do. Links are never followed.
"""

from __future__ import annotations

import grp
import os
import shutil
import stat
import sys


def chown(path: str, uid: int, gid: int) -> None:
    try:
        os.lchown(path, uid, gid)
    except OSError as error:
        sys.stderr.write(f"finish_setup: {path} keeps its owner: {error.strerror}\n")


def hand_over(home: str, uid: int, gid: int) -> None:
    try:
        protected: int | None = grp.getgrnam("protected").gr_gid
    except KeyError:
        protected = None
    chown(home, uid, gid)
    for parent, folders, names in os.walk(home):
        if parent == home:
            folders[:] = [name for name in folders if not name.startswith(".") or name == ".ssh"]
        for name in folders + names:
            path = os.path.join(parent, name)
            if os.lstat(path).st_gid != protected:
                chown(path, uid, gid)


def copy_owner(source: str, target: str) -> None:
    status = os.lstat(source)
    chown(target, status.st_uid, status.st_gid)
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(target, stat.S_IMODE(status.st_mode))
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def copy(source: str, target: str) -> None:
    """Folders, files and links, with owner and mode; sockets, pipes and devices have no business in a home."""
    mode = os.lstat(source).st_mode
    if stat.S_ISLNK(mode):
        os.symlink(os.readlink(source), target)
    elif stat.S_ISDIR(mode):
        os.mkdir(target)
        for name in os.listdir(source):
            copy(os.path.join(source, name), os.path.join(target, name))
    elif stat.S_ISREG(mode):
        shutil.copyfile(source, target)
    else:
        return
    copy_owner(source, target)


def write_instructions(path: str, uid: int, gid: int) -> None:
    if os.path.lexists(path):
        os.unlink(path)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    with os.fdopen(handle, "wb") as target:
        target.write(sys.stdin.buffer.read())
        os.fchown(handle, uid, gid)


def main() -> None:
    home, kept, uid, gid, keep_owners = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
    if keep_owners != "1":
        hand_over(home, uid, gid)
    write_instructions(os.path.join(home, "instructions.txt"), uid, gid)
    if os.path.lexists(kept):
        shutil.rmtree(kept)
    os.makedirs(os.path.dirname(kept), 0o755, exist_ok=True)
    copy(home, kept)


if __name__ == "__main__":
    main()
