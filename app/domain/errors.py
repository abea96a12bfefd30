"""What can go wrong, in words a person can act on.

Errors::

    CrucibleError
    ├── Refused            the request cannot be taken as it is; nothing was started, nothing was changed
    │   └── NotFound       there is no such thing
    ├── Conflict           it was possible a moment ago; the caller should look again
    ├── Unavailable        a part Crucible needs does not answer; try again later
    └── Broken             our own side failed in the middle of a run; the run ends `broken` with this reason
        └── FullDisk       what was to be stored finds no room; it may when there is some
"""

from __future__ import annotations


class CrucibleError(Exception):
    """Base of all that is raised for a person to read."""


class Refused(CrucibleError):
    """A request that cannot be taken: what is wrong, where, and what to do about it."""

    def __init__(self, what: str, *, where: str = "", todo: str = "") -> None:
        self.what = what
        self.where = where
        self.todo = todo
        super().__init__(str(self))

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        if not self.todo:
            return f"{place}{self.what}"
        stop = "" if self.what.endswith((".", "?", "!")) else "."
        return f"{place}{self.what}{stop} {self.todo}"


class NotFound(Refused):
    """There is no such run, evaluation, suite, agent or alert."""


class Conflict(CrucibleError):
    """Someone was first; read again."""


class Unavailable(CrucibleError):
    """A part that is needed does not answer."""


class Broken(CrucibleError):
    """Our own side failed; never the agent's doing."""


class FullDisk(Broken):
    """There is no room for what was to be stored; nothing of it is."""
