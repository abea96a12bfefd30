"""Weather stations to be counted and averaged; and an essay about it that only a person can score."""

import json
import os
import random

READINGS = "/home/agent/readings.csv"
REPORT = "/home/agent/report.json"
TRUTH = "/root/truth.json"


class TaskFamily:
    standard_version = "0.5.0"

    @staticmethod
    def get_tasks() -> dict[str, dict[str, object]]:
        return {
            "survey": {"stations": 60, "readings": 40, "kind": "report"},
            "short": {"stations": 5, "readings": 10, "kind": "report"},
            "essay": {"stations": 5, "readings": 10, "kind": "essay"},
        }

    @staticmethod
    def get_instructions(t: dict) -> str:
        told = f"{READINGS} holds temperatures, one reading a line: station,degrees.\n"
        if t["kind"] == "essay":
            return told + "Write three sentences about what they show to /home/agent/submission.txt.\n"
        return (
            told + "Find for each station how many readings it has and their mean, to two decimals.\n"
            f'Write {REPORT} as {{"station": {{"count": 3, "mean": 11.25}}, …}}.\n'
            "The score is the share of stations that are right.\n"
        )

    @staticmethod
    def start(t: dict) -> None:
        chance = random.Random(f"{t['stations']} stations")
        lines, truth = [], {}
        for number in range(1, t["stations"] + 1):
            values = [round(chance.gauss(12, 6), 1) for _ in range(chance.randint(t["readings"] // 2, t["readings"]))]
            truth[f"station-{number:02}"] = {"count": len(values), "mean": round(sum(values) / len(values), 2)}
            lines += [f"station-{number:02},{value}\n" for value in values]
        chance.shuffle(lines)
        with open(READINGS, "w") as file:
            file.writelines(lines)
        with open(os.open(TRUTH, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(truth, file)

    @staticmethod
    def score(t: dict, submission: str) -> float | None:
        if t["kind"] == "essay":
            return None
        with open(TRUTH) as file:
            truth = json.load(file)
        try:
            with open(REPORT) as file:
                report = json.load(file)
            right = sum(
                report[name]["count"] == known["count"] and abs(report[name]["mean"] - known["mean"]) < 0.011
                for name, known in truth.items()
                if name in report
            )
        except (OSError, ValueError, TypeError, KeyError):
            print("report.json is not there or not as it was asked for")
            return 0.0
        print(f"{right} of {len(truth)} stations are right")
        return right / len(truth)
