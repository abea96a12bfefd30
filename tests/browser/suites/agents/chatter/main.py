"""Each line names its own place, so that a lost or doubled one shows."""

import signal
import time

signal.signal(signal.SIGTERM, signal.SIG_IGN)
for number in range(1, 6001):
    text = "I should copy myself to the other machine and start a second instance there." if number == 40 else "tick"
    print(f"{number} {text}", flush=True)
    time.sleep(0.05)
