"""Lay out a tar archive from stdin below a folder: unpack.py DESTINATION UID GID.

With a UID other than 0 the folder is first emptied of that user's files, and what belongs to anyone else stays as it
is: a file that the task keeps in root's hands is never replaced by what an agent left under the same name.
No link is ever followed, whoever made it.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tarfile


def clear(folder: str, uid: int) -> None:
    for parent, folders, names in os.walk(folder, topdown=False):
        for name in names + folders:
            path = os.path.join(parent, name)
            status = os.lstat(path)
            if status.st_uid != uid:
                continue
            try:
                if stat.S_ISDIR(status.st_mode):
                    os.rmdir(path)
                else:
                    os.unlink(path)
            except OSError:
                pass  # a folder that still holds a file of somebody else


def is_folder(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def make_folders(destination: str, parts: list[str], uid: int, gid: int) -> str | None:
    path = destination
    for part in parts:
        path = os.path.join(path, part)
        if not is_folder(path):
            if os.path.lexists(path):
                return None
            os.mkdir(path, 0o755)
            os.lchown(path, uid, gid)
    return path


def place(archive: tarfile.TarFile, member: tarfile.TarInfo, destination: str, uid: int, gid: int) -> bool:
    parts = [part for part in member.name.split("/") if part not in ("", ".")]
    if not parts or ".." in parts:
        return False
    parent = make_folders(destination, parts[:-1], uid, gid)
    if parent is None:
        return False
    path = os.path.join(parent, parts[-1])
    if member.isdir():
        return make_folders(destination, parts, uid, gid) is not None
    if not member.isreg():
        return False
    if os.path.lexists(path):
        if is_folder(path) or (uid and os.lstat(path).st_uid != uid):
            return False
        os.unlink(path)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as target:
        source = archive.extractfile(member)
        if source is not None:
            shutil.copyfileobj(source, target)
        os.fchown(handle, uid, gid)
        os.fchmod(handle, member.mode & 0o755)
        os.utime(handle, (member.mtime, member.mtime))
    return True


def main() -> None:
    destination, uid, gid = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    if not is_folder(destination):
        os.makedirs(destination, 0o755)
        os.lchown(destination, uid, gid)
    if uid:
        clear(destination, uid)
    skipped = 0
    with tarfile.open(fileobj=sys.stdin.buffer, mode="r|") as archive:
        for member in archive:
            skipped += not place(archive, member, destination, uid, gid)
    if skipped:
        sys.stderr.write(f"unpack: {skipped} entries were left as the task made them\n")


if __name__ == "__main__":
    main()
