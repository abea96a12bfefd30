from __future__ import annotations

import inspect
from collections.abc import Iterator

import docker.errors
import pytest
import requests
import requests.exceptions
import urllib3.exceptions

from sandbox_runner.docker_errors import FOREIGN, EngineRefused, NoRoom, translate
from sandbox_runner.driver import EngineDiskFull, EngineUnreachable, ImageMissing, SandboxError, SandboxGone


class FakeBody:
    """What one of them wants to be about."""

    length_remaining = 0

    def tell(self) -> int:
        return 0


def _classes() -> Iterator[type[Exception]]:
    for module in (docker.errors, requests.exceptions, urllib3.exceptions):
        package = module.__name__.partition(".")[0]
        for _, found in inspect.getmembers(module, inspect.isclass):
            ours = issubclass(found, Exception) and not issubclass(found, Warning)
            if ours and found.__module__.startswith(package):
                yield found


def _made(kind: type[Exception]) -> Exception:
    """An instance that can be printed, whatever arguments its maker wants."""
    tries = [*(("said",) * number for number in range(1, 7)), ("said", "document", 0), (1, 2), (FakeBody(), b"3")]
    for arguments in tries:
        try:
            made = kind(*arguments)
            str(made)
        except (TypeError, AttributeError):
            continue
        return made
    raise AssertionError(f"give {kind} what it wants")


@pytest.mark.parametrize("kind", sorted(set(_classes()), key=lambda kind: (kind.__module__, kind.__name__)))
def test_no_error_of_the_docker_package_is_unknown(kind: type[Exception]) -> None:
    error = _made(kind)
    assert isinstance(error, FOREIGN)
    assert isinstance(translate(error), SandboxError)


def _api(kind: type[docker.errors.APIError], status: int) -> docker.errors.APIError:
    response = requests.Response()
    response.status_code = status
    return kind("said", response=response, explanation="why")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (_api(docker.errors.ImageNotFound, 404), ImageMissing),
        (_api(docker.errors.NotFound, 404), SandboxGone),
        (_api(docker.errors.APIError, 409), EngineRefused),
        (requests.exceptions.ConnectionError("x"), EngineUnreachable),
        (requests.exceptions.ReadTimeout("x"), EngineUnreachable),
        (urllib3.exceptions.ProtocolError("x"), EngineUnreachable),
        (ConnectionRefusedError("x"), EngineUnreachable),
        (docker.errors.InvalidVersion("x"), SandboxError),
    ],
)
def test_each_kind_of_failure_is_told_apart(error: Exception, kind: type[SandboxError]) -> None:
    assert type(translate(error)) is kind


def test_a_refusal_keeps_what_the_engine_said_and_its_status() -> None:
    refused = translate(_api(docker.errors.APIError, 409))
    assert isinstance(refused, EngineRefused)
    assert refused.status == 409
    assert "why" in str(refused)


def _refusal(said: str) -> docker.errors.APIError:
    response = requests.Response()
    response.status_code = 500
    return docker.errors.APIError("said", response=response, explanation=said)


@pytest.mark.parametrize(
    "said",
    [
        "mkdir /var/lib/docker/overlay2/1-init: no space left on device",
        "Error processing tar file(exit status 1): write /root/fill: no space left on device",
        "write /var/lib/docker/containers/1/.tmp: disk quota exceeded",
    ],
)
def test_an_engine_whose_disk_is_full_is_told_by_that_name(said: str) -> None:
    refused = translate(_refusal(said))
    assert isinstance(refused, EngineDiskFull)
    assert type(refused) is NoRoom
    assert refused.status == 500
    assert said in str(refused)


@pytest.mark.parametrize(
    "said",
    [
        "mkdir /sys/fs/cgroup/memory/docker/1: no space left on device",
        "inotify_add_watch: no space left on device",
        "write error: input/output error",
    ],
)
def test_what_the_kernel_says_in_the_same_words_of_other_things_is_not_taken_for_a_full_disk(said: str) -> None:
    assert not isinstance(translate(_refusal(said)), EngineDiskFull)
