"""The pause lets a page be there before it ends."""

import time

print("the agent speaks", flush=True)
time.sleep(3)
print("the agent is done", flush=True)
