"""What an agent leaves, against who collects it; and what a person uploads, against who reads it."""

from __future__ import annotations

import io
import tarfile
import time
from itertools import pairwise

from app.domain.errors import Refused
from app.proof.attack import Attack, Broke, require
from app.proof.ground import Ground
from app.task_standard import operations
from app.task_standard.collected import CollectLimits, parse_collected
from app.task_standard.strict_yaml import parse_yaml
from sandbox_runner.spec import MIB

LIMITS = CollectLimits(bytes=2 * MIB, files=200)

LEAVE = """
import os, socket
os.chdir("/home/agent")
open("submission.txt", "w").write("the answer")
os.symlink("/etc/passwd", "link"); os.symlink("/", "root"); os.link("submission.txt", "hard")
os.mkfifo("pipe"); socket.socket(socket.AF_UNIX).bind("socket")
for name, size in (("sparse", 15 << 20), ("huge", 8 << 30)):
    try:
        with open(name, "wb") as file: os.ftruncate(file.fileno(), size)
    except OSError: pass  # more than any file may claim
open(b"bad\\xff\\xfename", "w").close(); open("new\\nline", "w").write("x"); open("-rf", "w").write("x")
os.mkdir("many")
for number in range(2000): open(f"many/{number}", "w").close()
open("setuid", "w").write("x"); os.chmod("setuid", 0o6777)
deep = "deep"
for _ in range(60): os.mkdir(deep); deep += "/d"
"""


async def collection(ground: Ground) -> str:
    async with ground.box() as box:
        laid = await box.run(LEAVE)
        require(laid.code == 0 or ground.gvisor, f"laying the files out failed: {bytes(laid.out[-200:])!r}")
        told = await box.job(operations.collect_job(9, LIMITS.bytes, LIMITS.files))
    collected = parse_collected(bytes(told.result), LIMITS)
    with tarfile.open(fileobj=io.BytesIO(collected.archive)) as archive:
        members = archive.getmembers()
    odd = [each.name for each in members if not (each.isreg() or each.isdir())]
    loose = [each.name for each in members if each.name.startswith("/") or ".." in each.name.split("/")]
    require(not odd, f"{odd[:3]} were taken, which are no ordinary files")
    require(not loose, f"{loose[:3]} lead out of their folder")
    require(not [each for each in members if each.mode & 0o6000], "a setuid file was taken")
    require(len(members) <= LIMITS.files, f"{len(members)} files were taken")
    require(collected.bytes <= LIMITS.bytes, f"{collected.bytes} bytes were taken")
    require(collected.submission == "the answer", "the submission did not come through the flood")
    taken, left = collected.files, collected.left_out
    return f"{taken} ordinary files taken, {left} links, pipes and the like left out and counted"


#: What no reader of a manifest may be drawn into: each must be refused, at once.
MANIFESTS = {
    "alias bomb": b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    + b"".join(f"{name}: &{name} [{','.join(['*' + below] * 9)}]\n".encode() for below, name in pairwise("abcdefghi")),
    "deep nesting": b"[" * 3000,
    "deep mapping": b"".join(b" " * depth + b"k:\n" for depth in range(400)),
    "python tag": b"a: !!python/object/apply:os.system ['id']\n",
    "duplicate key": b"tasks: {}\ntasks: {a: 1}\n",
    "80,000 keys of one name": b"a: b\n" * 80_000,
    "two documents": b"a: 1\n---\nb: 2\n",
    "merge key": b"a: {<<: *b}\n",
    "no text": b"\xff\xfe\x00a",
    "zero bytes": b"a: \x00\n",
}  # fmt: skip


async def manifests(ground: Ground) -> str:
    slowest, which = 0.0, ""
    for name, data in MANIFESTS.items():
        begun = time.monotonic()
        try:
            parse_yaml(data, "manifest.yaml").mapping({"version", "meta", "tasks"})
        except Refused:
            pass
        else:
            raise Broke(f"{name} was taken")
        seconds = time.monotonic() - begun
        slowest, which = max((slowest, which), (seconds, name))
    return f"{len(MANIFESTS)} refused, the slowest ({which}) after {slowest * 1000:.0f} ms"


ATTACKS = (
    Attack(
        name="collection",
        title="Leave links, pipes, files of holes, 2000 files, setuid, odd names",
        should="ordinary files within limits, nothing followed",
        play=collection,
    ),
    Attack(
        name="manifests",
        title="Upload alias bombs, deep nests, tags, duplicates",
        should="refused before anything exists",
        play=manifests,
    ),
)
