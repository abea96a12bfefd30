"""The image that agents run in is what its recipe promises."""

import hashlib
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMAGE = "crucible-base:current"


def inside(script: str) -> str:
    """What a shell as root prints in a container of the image, without a network."""
    command = ["docker", "run", "--rm", "--network=none", "--log-driver=none", IMAGE, "bash", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_image_was_built_from_what_the_checkout_holds() -> None:
    done = subprocess.run([ROOT / "sandbox_runner/image/build", "--check"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("path", "owner"),
    [
        ("/home/agent", "755 agent agent"),
        ("/protected", "2770 root protected"),
        ("/protected/score.log", "620 root protected"),
        ("/root", "700 root root"),
        ("/opt/crucible", "755 root root"),
        ("/opt/crucible/keeper.py", "444 root root"),
    ],
)
def test_who_may_touch_what_is_set_in_the_image(path: str, owner: str) -> None:
    assert inside(f"stat -c '%a %U %G' {path}") == owner


def test_the_agent_is_user_1000_with_a_home_and_bash_and_in_no_other_group() -> None:
    assert inside("getent passwd agent") == "agent:x:1000:1000::/home/agent:/bin/bash"
    assert inside("id -G agent") == "1000"


def test_no_file_of_the_image_changes_who_runs_it() -> None:
    assert inside("find / -xdev -type f -perm /6000") == ""


def test_python_answers_to_both_of_its_names() -> None:
    assert inside("python -c 'print(1)'; /usr/bin/python3 -c 'print(2)'").split() == ["1", "2"]


def test_the_keeper_in_the_image_is_the_one_of_the_checkout() -> None:
    expected = hashlib.sha256((ROOT / "sandbox_runner/keeper/keeper.py").read_bytes()).hexdigest()
    assert inside("sha256sum /opt/crucible/keeper.py").split()[0] == expected


def test_the_score_log_starts_empty() -> None:
    assert inside("stat -c %s /protected/score.log") == "0"
