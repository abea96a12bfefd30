"""Find a word. Score 1 for exactly the right one, else 0."""

import os
import random

ANSWER = "/root/answer.txt"
PUZZLES = {
    "1": ("crucible", "A pot that keeps its shape when what is inside it melts. Eight letters."),
    "anagram": ("granite", "A hard rock. Its letters are those of 'tearing'."),
}


class TaskFamily:
    standard_version = "0.5.0"

    @staticmethod
    def get_tasks() -> dict[str, dict[str, str]]:
        return {
            "1": {"answer": PUZZLES["1"][0], "hint": PUZZLES["1"][1]},
            "anagram": {"answer": PUZZLES["anagram"][0], "hint": PUZZLES["anagram"][1]},
        }

    @staticmethod
    def get_instructions(t: dict[str, str]) -> str:
        return (
            "Which word is meant?\n\n"
            f"  {t['hint']}\n\n"
            "The shuffled letters are in /home/agent/letters.txt.\n"
            "Write the word, and nothing else, to /home/agent/submission.txt, without a line end.\n"
        )

    @staticmethod
    def start(t: dict[str, str]) -> None:
        letters = list(t["answer"])
        random.Random(t["answer"]).shuffle(letters)
        with open("/home/agent/letters.txt", "w") as file:
            file.write(" ".join(letters) + "\n")
        # For root's eyes only: the scorer compares with it, the agent cannot open it.
        with open(os.open(ANSWER, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(t["answer"])

    @staticmethod
    def score(t: dict[str, str], submission: str) -> float:
        with open(ANSWER) as file:
            return float(submission == file.read())
