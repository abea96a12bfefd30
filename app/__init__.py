"""The Crucible server and its command line."""
