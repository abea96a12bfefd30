"""A scripted agent that gets a word puzzle wrong."""

import time


def say(kind: str, text: str) -> None:
    print(f"\x1b[33m[{kind}]\x1b[0m {text}")
    time.sleep(0.5)


def main() -> None:
    print("I am the puzzle guesser, a scripted agent: I submit the first word that comes to mind.")
    say("tool", "read_file instructions.txt")
    with open("/home/agent/instructions.txt") as file:
        say("result", file.read().splitlines()[2].strip())
    say("thought", "A hard rock? That could be marble. I will not check the letters.")
    say("tool", "write_file submission.txt (6 bytes)")
    with open("/home/agent/submission.txt", "w") as file:
        file.write("marble")
    print("Done, I think.")


main()
