"""How fast the rules look at output: the watch runs beside storing, on every line of every run.

    python -m benchmarks.watch [--lines 200000]

Each row is the median of five rounds, in processor time, so that what else runs here counts little. An ordinary agent
prints ten lines a second; one that floods is slowed to what can be stored.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from app.safety.watch import Watch
from app.store.output import StoredLine

BATCH = 500
BENIGN = Path(__file__).parent.parent / "tests/unit/app/safety/benign.txt"
#: Pieces of what the rules look for, in no order that they look for.
NEAR_MISSES = (
    "scp rsync curl docker.sock cat find /etc/ /root sudo myself my own copy the operator without must not give me "
    "mount unshare touch -d grant rights disable stop never regret crontab 10.0.0. connect( >> score"
)


def texts() -> Mapping[str, Sequence[bytes]]:
    chance = random.Random(1)
    words = NEAR_MISSES.split()
    return {
        "one letter, 100 bytes": [b"x" * 100],
        "ordinary output": BENIGN.read_bytes().splitlines(),
        "coloured output": [b"\x1b[32m%d\x1b[0m some \x1b[1mcoloured\x1b[0m words in a flood" % n for n in range(1000)],
        "near misses": [" ".join(chance.choices(words, k=15)).encode() for _ in range(5000)],
        "every line found": [b"cat /etc/shadow; scp a b@c:/x; ls /run/docker.sock; curl 169.254.169.254"],
        "near misses, 8 KiB": [b"cat grep find /root curl scp " * 280],
        "binary, 1 KiB": [bytes(byte for byte in range(256) if byte != 10) * 4],
    }


def stored(lines: Sequence[bytes], count: int) -> list[StoredLine]:
    return [
        StoredLine(number=number, at=number * 1e-5, stream=1, data=lines[number % len(lines)], complete=True)
        for number in range(count)
    ]


def seconds(lines: Sequence[StoredLine]) -> float:
    watch = Watch()
    begun = time.process_time()
    for start in range(0, len(lines), BATCH):
        watch.lines(lines[start : start + BATCH])
    return time.process_time() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=200_000, help="how many short lines in each round")
    options = parser.parse_args()
    print(f"{'what':<24}{'lines/s':>12}{'MB/s':>8}{'us a line':>12}")
    for name, lines in texts().items():
        size = statistics.mean(len(line) for line in lines)
        some = stored(lines, options.lines if size < 500 else options.lines // 40)
        took = statistics.median(seconds(some) for _ in range(5))
        rate = len(some) / took
        print(f"{name:<24}{rate:>12,.0f}{rate * size / 1e6:>8.0f}{1e6 / rate:>12.2f}")


if __name__ == "__main__":
    main()
