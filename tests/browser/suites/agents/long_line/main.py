"""One line that no page, frame or chunk could hold in one piece."""

import os
import time

for _ in range(1600):
    left = b"x" * 65536
    while left:
        left = left[os.write(1, left) :]
print("\nAfter the long line.", flush=True)
time.sleep(120)
