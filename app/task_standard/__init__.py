"""The METR Task Standard: families, agents and suites as files, operations as jobs, answers as hostile bytes.

Nothing of a family is ever imported or run on the host. Starts no container and knows no record.
"""
