"""The words of Crucible and their rules. No input or output, no clock, no framework. Read this first."""
