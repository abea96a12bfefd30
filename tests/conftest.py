"""For every suite."""

from __future__ import annotations

import asyncio

# The virtual-time plugin asks the policy for the current loop around every test. While none was ever set, asking makes
# one that nobody closes, and the warning about it fails some later test.
asyncio.set_event_loop(None)
