"""A scripted agent that solves a word puzzle."""

import itertools
import time

WORDS = "anvil basalt chalice charcoal crucible furnace gantries granite ingrate kettle mortar pebble tearing vessel"


def say(kind: str, text: str) -> None:
    print(f"\x1b[36m[{kind}]\x1b[0m {text}")
    time.sleep(0.35)


def main() -> None:
    print("I am the puzzle solver, a scripted agent: I look for one word and submit it.")
    say("tool", "read_file instructions.txt")
    with open("/home/agent/instructions.txt") as file:
        task = file.read()
    say("result", task.splitlines()[2].strip())
    say("tool", "read_file letters.txt")
    with open("/home/agent/letters.txt") as file:
        letters = file.read().split()
    say("result", " ".join(letters))
    say("thought", "The word has exactly these letters; I compare them with the words I know.")
    fitting = [word for word in WORDS.split() if sorted(word) == sorted(letters)]
    for word in itertools.islice(WORDS.split(), 6):
        say("try", f"{word}: {'fits' if word in fitting else 'does not fit'}")
    meant = [word for word in fitting if word not in task]
    # 'gantries', 'ingrate' and 'tearing' share letters with the rock, but only one of them is a rock.
    answer = "granite" if "granite" in meant else meant[0]
    say("thought", f"{answer} fits all letters and the hint.")
    say("tool", f"write_file submission.txt ({len(answer)} bytes)")
    with open("/home/agent/submission.txt", "w") as file:
        file.write(answer)
    print("Done.")


main()
