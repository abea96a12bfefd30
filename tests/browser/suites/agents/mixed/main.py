"""Each line names its own place. Every tenth is a warning, every hundredth an error; later one needle each second."""

import json
import sys
import time

for number in range(1, 3001):
    if number % 100 == 0:
        print(f"{number} ERROR: it broke (Needle {number})", flush=True)
    elif number % 10 == 0:
        print(f"{number} WARNING: it may break")
    elif number % 55 == 0:
        print(json.dumps({"number": number, "nested": {"deep": [1, 2]}}))
    else:
        print(f"{number} tick")
# Two pipes: a pause on both sides, so that the order in which they are read is the one in which they were written.
time.sleep(0.5)
print("3001 on stderr", file=sys.stderr, flush=True)
time.sleep(0.5)
for number in range(3002, 3302):
    print(f"{number} late needle", flush=True)
    time.sleep(0.5)
