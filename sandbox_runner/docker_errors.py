"""Every way the docker package can fail, as one of the port's own errors. Nothing else of it leaves this package."""

from __future__ import annotations

import http.client

import docker.errors
import requests.exceptions
import urllib3.exceptions

from sandbox_runner.driver import EngineDiskFull, EngineUnreachable, ImageMissing, SandboxError, SandboxGone

#: What a call into the docker package may raise.
FOREIGN = (
    docker.errors.DockerException,
    docker.errors.StreamParseError,
    requests.exceptions.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,  # an answer that is not JSON, an address that is not one
)


class EngineRefused(SandboxError):
    """The engine answered no. `status` is HTTP's."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class NoRoom(EngineRefused, EngineDiskFull):
    """It refused because its disk is full."""


#: How an engine says that; and the other things that the kernel says in the same words.
NO_ROOM, NO_DISK = ("no space left on device", "disk quota exceeded"), ("/sys/fs/cgroup", "inotify")


def translate(error: Exception) -> SandboxError:
    """The port's error for one of `FOREIGN`."""
    match error:
        case docker.errors.ImageNotFound():
            return ImageMissing(_said(error))
        case docker.errors.NotFound():
            return SandboxGone(_said(error))
        case docker.errors.APIError():
            status = error.response.status_code if error.response is not None else 500
            said = _said(error)
            if any(words in said.lower() for words in NO_ROOM) and not any(words in said for words in NO_DISK):
                return NoRoom(f"the container engine's disk is full: {said}", status)
            return EngineRefused(f"the engine refused: {said}", status)
        case docker.errors.DockerException() | docker.errors.StreamParseError() | ValueError():
            return SandboxError(f"the engine's answer could not be used: {error}")
        case _:
            return EngineUnreachable(f"the container engine does not answer: {error}")


def _said(error: docker.errors.APIError) -> str:
    return str(error.explanation or error)[:1000]
