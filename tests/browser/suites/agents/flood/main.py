"""Each line names its own place. The pause lets a test look at a page that has everything."""

import time

for number in range(1, 12_001):
    print(f"{number} tick")
for number in range(12_001, 12_301):
    print(f"{number} tick", flush=True)
    time.sleep(1)
