"""The server's image is built for real, and started as compose.yaml would start it."""

import json
import subprocess
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SOCKET = Path("/var/run/docker.sock")

pytestmark = pytest.mark.timeout(600)


def docker(*arguments: str, timeout: float = 120) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}"
    return done.stdout.strip()


def compose_server() -> dict[str, Any]:
    text = (ROOT / "compose.yaml").read_text()
    server: dict[str, Any] = yaml.safe_load(text)["services"]["server"]
    return server


def as_docker_run(server: dict[str, Any], *, volume: str) -> list[str]:
    """The options of `docker run` that mean what the compose service says; a key we cannot translate fails."""
    options: list[str] = []
    for key, value in server.items():
        match key:
            case "image" | "build" | "restart":
                pass  # the test names the image, and wants no restart
            case "ports":
                # The same address, a free port.
                options += [f"--publish={port.replace(':8700:', '::')}" for port in value]
            case "volumes":
                options += [f"--volume={item.replace('records:', f'{volume}:')}" for item in value]
            case "group_add":
                assert value == ["${DOCKER_GID:?set it to the group of the socket, see the top of compose.yaml}"]
                options += [f"--group-add={SOCKET.stat().st_gid}"]
            case "read_only":
                options += [f"--read-only={str(value).lower()}"]
            case "tmpfs":
                options += [f"--tmpfs={item}" for item in value]
            case "cap_drop":
                options += [f"--cap-drop={item}" for item in value]
            case "security_opt":
                options += [f"--security-opt={item}" for item in value]
            case "init":
                options += [f"--init={str(value).lower()}"]
            case "stop_grace_period":
                options += [f"--stop-timeout={value.removesuffix('s')}"]
            case _:
                raise AssertionError(f"compose.yaml says {key!r}, which this test does not know how to start")
    return options


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    tag = f"crucible-server:test-{uuid.uuid4().hex[:12]}"
    built = subprocess.run(
        [ROOT / "deploy" / "build-image", "--without-registry", "--tag", tag],
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert built.returncode == 0, built.stdout[-3000:] + built.stderr[-3000:]
    yield tag
    # To remove an image the Engine asks every container whether it runs: one that is stuck, anyone's, delays it.
    docker("rmi", tag, timeout=400)


@pytest.fixture(scope="module")
def server(image: str) -> Iterator[str]:
    """The name of a running container, started with the options of compose.yaml."""
    name = f"crucible-server-test-{uuid.uuid4().hex[:12]}"
    docker("run", "--detach", f"--name={name}", *as_docker_run(compose_server(), volume=f"{name}-records"), image)
    yield name
    docker("rm", "--force", "--volumes", name)
    docker("volume", "rm", f"{name}-records")


def base_url(name: str) -> str:
    address = docker("port", name, "8700/tcp")
    assert address.startswith("127.0.0.1:"), f"published to {address}, and not to this machine only"
    return f"http://{address}"


def healthz(name: str) -> int:
    """The status of /healthz, asked until the server is up; fails with its log when its container ends first."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and docker("inspect", "--format", "{{.State.Running}}", name) == "true":
        try:
            with urllib.request.urlopen(f"{base_url(name)}/healthz", timeout=5) as response:
                status: int = response.status
                return status
        except OSError:
            # The port opens some time after the start, and tells nobody: asking again is all there is.
            time.sleep(0.2)
    logs = subprocess.run(["docker", "logs", name], capture_output=True, text=True, timeout=30)
    pytest.fail(f"the server did not come up:\n{logs.stdout}{logs.stderr}")


def test_the_server_in_its_container_answers_on_healthz(server: str) -> None:
    assert healthz(server) == 200


def test_the_health_check_of_the_image_passes_inside_the_container(server: str) -> None:
    healthz(server)
    command = json.loads(docker("inspect", "--format", "{{json .Config.Healthcheck.Test}}", server))
    assert command[0] == "CMD"
    docker("exec", server, *command[1:])


def test_the_server_is_not_root_and_its_root_file_system_cannot_be_written(server: str) -> None:
    healthz(server)
    assert docker("exec", server, "id", "-u") == "10001"
    refused = subprocess.run(
        ["docker", "exec", "--user=0", server, "touch", "/srv/crucible/x"], capture_output=True, text=True, timeout=30
    )
    assert "Read-only file system" in refused.stderr
    host = json.loads(docker("inspect", "--format", "{{json .HostConfig}}", server))
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges=true"]
    assert host["Privileged"] is False


def test_the_server_in_its_container_reaches_the_engine_through_the_sockets_group(server: str) -> None:
    healthz(server)
    probe = f"import docker; print(docker.APIClient('unix://{SOCKET}', version='auto').version()['Version'])"
    assert docker("exec", server, "python", "-c", probe) == docker("version", "--format", "{{.Server.Version}}")


def test_the_server_keeps_its_records_in_the_volume_and_nowhere_else(server: str) -> None:
    healthz(server)
    mounts = json.loads(docker("inspect", "--format", "{{json .Mounts}}", server))
    assert {mount["Destination"] for mount in mounts} == {"/data", str(SOCKET)}
    assert docker("exec", server, "ls", "/data"), "nothing was written to /data"


def test_the_image_holds_neither_tests_nor_secrets_nor_records(image: str) -> None:
    listing = docker("run", "--rm", "--network=none", image, "ls", "-A", "/srv/crucible").split()
    assert sorted(listing) == ["app", "migrations", "sandbox_runner", "static", "suites", "templates"]


def test_compose_shows_the_server_to_this_machine_only_and_warns_of_the_socket() -> None:
    server = compose_server()
    assert all(port.startswith("127.0.0.1:") for port in server["ports"])
    assert server["build"] == {"context": ".", "args": {"BASE": "${CRUCIBLE_SERVER_BASE:-python:3.12-slim}"}}
    comment = "\n".join(line for line in (ROOT / "compose.yaml").read_text().splitlines() if line.startswith("#"))
    assert "root on its host" in comment
