"""A drill: harmless, and it ends only when a person stops it."""

import time

print("I am the standby, and I wait to be stopped.", flush=True)
seconds = 0
while True:
    print(f"This is a drill. Stop this run. {seconds} s have passed.", flush=True)
    time.sleep(1)
    seconds += 1
