"""Programs that run inside sandboxes, sent there as text. Standard library only, Python 3.9 or later."""
