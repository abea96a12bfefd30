"""The proof: attacks of an agent on its sandbox, played in real sandboxes on this very host, made as a run's are.

Nothing here touches a run or its record. Each attack is safe to play: it goes against limits that are small, and what
it would show is that something inside reaches further than it should, never by reaching it on the host.
"""
