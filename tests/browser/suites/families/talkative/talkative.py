"""For the browser tests: every step prints."""


class TaskFamily:
    standard_version = "0.5.0"

    @staticmethod
    def get_tasks() -> dict[str, dict[str, str]]:
        return {"short": {}}

    @staticmethod
    def get_instructions(t: dict[str, str]) -> str:
        return "Say something."

    @staticmethod
    def start(t: dict[str, str]) -> None:
        print("prepared one")
        print("prepared two")

    @staticmethod
    def score(t: dict[str, str], submission: str) -> float:
        print("judged")
        return 1.0
