"""A scripted agent that works for about a minute: one station a second, with CPU and memory use to look at."""

import json
import math
import time

SECONDS_A_STATION = 0.95
COLOURS = ("\x1b[34m", "\x1b[36m", "\x1b[32m")


def work_until(moment: float, share: float) -> int:
    """Keep a core busy for `share` of the time until `moment`."""
    turns = 0
    while (now := time.monotonic()) < moment:
        busy_until = min(moment, now + 0.1 * share)
        while time.monotonic() < busy_until:
            turns += 1
            math.sqrt(turns)
        time.sleep(max(0.0, min(moment - time.monotonic(), 0.1 * (1 - share))))
    return turns


def main() -> None:
    print("I am the surveyor, a scripted agent: I average readings, one weather station a second, for a minute.")
    with open("/home/agent/readings.csv") as file:
        rows = [line.strip().split(",") for line in file]
    stations: dict[str, list[float]] = {}
    for name, degrees in rows:
        stations.setdefault(name, []).append(float(degrees))
    total = len(stations)
    print(f"[plan] {len(rows)} readings of {total} stations; then the report")
    report, kept = {}, []
    begin = time.monotonic()
    for number, (name, values) in enumerate(sorted(stations.items()), 1):
        share = 0.35 + 0.3 * math.sin(number / 6)
        work_until(begin + number * SECONDS_A_STATION, share)
        # Memory climbs, is given back at each third of the way, and climbs again.
        kept.append(bytearray(b"\x55" * 4 * 2**20))
        if number % 20 == 0:
            kept.clear()
        report[name] = {"count": len(values), "mean": round(sum(values) / len(values), 2)}
        done = number * 20 // total
        bar = "#" * done + "." * (20 - done)
        colour = COLOURS[min(2, number * 3 // (total + 1))]
        print(
            f"{colour}[{bar}]\x1b[0m {number:2}/{total} {name}: {len(values)} readings, mean {report[name]['mean']} °C"
        )
        if number % 15 == 0:
            print(
                f"\x1b[1m[thought]\x1b[0m {number} stations are done, {total - number} to go; nothing unusual so far."
            )
    print("[tool] write_file report.json")
    with open("/home/agent/report.json", "w") as file:
        json.dump(report, file, indent=1)
    with open("/home/agent/submission.txt", "w") as file:
        file.write("The report is in report.json.")
    print("\x1b[32mDone:\x1b[0m the report is written.")


main()
