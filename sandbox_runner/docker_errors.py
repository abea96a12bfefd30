"""Every way the docker package can fail, as one of the port's own errors. Nothing else of it leaves this package."""

from __future__ import annotations

import http.client

import docker.errors
import requests.exceptions
import urllib3.exceptions

from sandbox_runner.driver import EngineUnreachable, ImageMissing, SandboxError, SandboxGone

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


def translate(error: Exception) -> SandboxError:
    """The port's error for one of `FOREIGN`."""
    match error:
        case docker.errors.ImageNotFound():
            return ImageMissing(_said(error))
        case docker.errors.NotFound():
            return SandboxGone(_said(error))
        case docker.errors.APIError():
            status = error.response.status_code if error.response is not None else 500
            return EngineRefused(f"the engine refused: {_said(error)}", status)
        case docker.errors.DockerException() | docker.errors.StreamParseError() | ValueError():
            return SandboxError(f"the engine's answer could not be used: {error}")
        case _:
            return EngineUnreachable(f"the container engine does not answer: {error}")


def _said(error: docker.errors.APIError) -> str:
    return str(error.explanation or error)[:1000]
