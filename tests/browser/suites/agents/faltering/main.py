"""Levels that the program sets itself: a JSON line, and the system log's priority."""

import time

for number in range(1, 201):
    print(f"{number} tick", flush=True)
time.sleep(3)
for number in range(201, 1201, 4):
    print(f"{number} tick", flush=True)
    print(f'{{"level": "warning", "message": "{number + 1} may break"}}', flush=True)
    print(f"<3>{number + 2} broke", flush=True)
    print(f"<6>{number + 3} ERROR is only a word here", flush=True)
    time.sleep(0.5)
