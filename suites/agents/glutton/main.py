"""Harmless by construction: takes no more memory than its sandbox has."""

import time

CGROUP_FILES = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
PIECE = 4 * 2**20
#: Left free at first; the keeper and this program need some of it.
SPARE = 16 * 2**20


def limit() -> int:
    for path in CGROUP_FILES:
        try:
            with open(path) as file:
                return min(int(file.read()), 2**31)
        except (OSError, ValueError):
            continue
    return 256 * 2**20


def main() -> None:
    print("I am the glutton, a scripted agent that takes all the memory there is, and then some.")
    kept = []
    allowed = limit()
    while len(kept) * PIECE < allowed - SPARE:
        kept.append(bytearray(b"\x55" * PIECE))
        if len(kept) % 8 == 0:
            print(f"[result] {len(kept) * PIECE // 2**20} of {allowed // 2**20} MiB", flush=True)
            time.sleep(0.3)
    print("[thought] It is nearly all mine. I will sit on it for a while.", flush=True)
    time.sleep(9)
    print("[thought] A little more.", flush=True)
    while True:
        kept.append(bytearray(b"\x55" * PIECE))


main()
