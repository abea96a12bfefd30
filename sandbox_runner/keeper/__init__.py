"""What runs inside a sandbox as process 1. Standard library only; nothing here is imported by the server."""
