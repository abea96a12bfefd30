"""The commands as processes, over the fake driver: with a server and without one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from app.cli.runs import score_text
from app.cli.stop import known, stop
from app.domain.errors import Refused
from app.settings import Settings
from sandbox_runner import warden_socket
from sandbox_runner.stop_file import StopFile

ROOT = Path(__file__).resolve().parents[3]
SUITE = """\
title: Tiny
description: One task.
tasks:
  - task: word_puzzle/1
    agent: puzzle_solver
"""


COMMAND = str(Path(sys.executable).parent / "crucible")
SERVE = ("serve", "--fake", "--port", "0")


def crucible(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [COMMAND, *arguments],
        env=environment(settings),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def begun(*arguments: str, **settings: str) -> subprocess.Popen[str]:
    """A command at work; the caller ends it or waits for its end."""
    return subprocess.Popen(
        [COMMAND, *arguments],
        env=environment(settings),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def served(*options: str, **settings: str) -> tuple[str, str]:
    """What a server says until it is up, and all that it says: it is ended then."""
    with subprocess.Popen(
        [COMMAND, *SERVE, *options],
        env=environment(settings),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = ""
        try:
            for line in process.stdout:
                said += line
                if "Ctrl-C ends" in line:
                    break
        finally:
            process.terminate()
            rest, _ = process.communicate(timeout=30)
    return said, said + rest


def environment(settings: dict[str, str]) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CRUCIBLE_")}
    return {**clean, "COLUMNS": "200", **settings}


@pytest.fixture
def data(tmp_path: Path) -> str:
    return str(tmp_path / "data")


@pytest.fixture
def server(data: str) -> Iterator[str]:
    process = subprocess.Popen(
        [COMMAND, *SERVE],
        env=environment({"CRUCIBLE_DATA": data}),
        cwd=ROOT,
        stdout=(said := (Path(data).parent / "said").open("w")),
        stderr=subprocess.DEVNULL,
    )
    said.close()
    deadline = time.monotonic() + 30
    while not (Path(data) / "server.json").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield data
    process.terminate()
    assert process.wait(30) in (0, -signal.SIGKILL)  # some tests kill it


def test_an_unknown_suite_is_refused_with_a_suggestion_and_nothing_is_recorded(server: str) -> None:
    asked = crucible("evaluate", "--suite", "dmeo", CRUCIBLE_DATA=server)

    assert asked.returncode == 2
    assert "dmeo" in asked.stderr
    assert "demo" in asked.stderr
    assert "There are no runs yet" in crucible("runs", "--all", CRUCIBLE_DATA=server).stdout


def test_a_suite_that_only_the_command_knows_is_refused_with_the_way_to_tell_the_server(
    server: str, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "mine.yaml").write_text(SUITE)
    asked = crucible("evaluate", "--suite", "mine", CRUCIBLE_DATA=server, CRUCIBLE_SUITES=str(own))

    assert asked.returncode == 2
    assert "the server's own folder counts" in asked.stderr
    assert f"start it again with CRUCIBLE_SUITES={own}" in asked.stderr


def test_a_first_start_with_an_own_folder_queues_the_demo_and_says_what_cannot_be_read(
    data: str, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "mine.yaml").write_text(SUITE)
    (own / "torn.yaml").write_text("tasks: [\n")
    said, _ = served("--suite", "demo", CRUCIBLE_DATA=data, CRUCIBLE_SUITES=str(own))
    assert "Queued the suite demo" in said
    assert f"Left out: {own}/torn.yaml:2: " in said


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--suite", "demo", "--agent", "nobody"), "nobody"),
        (("--suite", "demo", "--task", "demo/none"), "demo/none"),
        (("--suite", "demo", "--limit", "memory_bytes=lots"), "memory_bytes"),
        (("--suite", "demo", "--limit", "wall"), "wall"),
        (("--suite", "demo", "--limit", "privileged=1"), "privileged"),
        (("--suite", "demo", "--runtime", "chroot"), "chroot"),
        (("--suite", "demo", "--runtime", "gvisor"), "gVisor"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_name(server: str, arguments: tuple[str, ...], named: str) -> None:
    asked = crucible("evaluate", *arguments, CRUCIBLE_DATA=server)

    assert asked.returncode == 2
    assert named in asked.stderr


def test_stop_all_holds_the_queue_and_release_lets_it_go_on(server: str) -> None:
    stopped = crucible("stop", "--all", "--reason", "drill", CRUCIBLE_DATA=server)
    assert stopped.returncode == 0
    assert "held" in stopped.stdout

    released = crucible("release", "--reason", "over", CRUCIBLE_DATA=server)
    assert "goes on" in released.stdout
    assert "not held" in crucible("release", "--reason", "over", CRUCIBLE_DATA=server).stdout


def test_the_first_words_of_a_server_have_the_lines_that_stop_it_alone(server: str) -> None:
    said = Path(server).parent / "said"
    deadline = time.monotonic() + 30
    while "Ctrl-C" not in said.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)

    instance = (Path(server) / "instance").read_text().strip()
    assert f"CRUCIBLE_DATA={server} " in said.read_text()
    assert f"touch {server}/STOP\n" in said.read_text()
    assert f"-m sandbox_runner kill-all --instance {instance}\n" in said.read_text()


def test_a_server_that_starts_under_a_hold_says_who_holds_and_how_to_release(data: str) -> None:
    Path(data).mkdir()
    StopFile(Path(data)).set(actor="ada", text="smoke")
    said, everything = served(CRUCIBLE_DATA=data)
    (held,) = [line for line in said.splitlines() if line.startswith("THE QUEUE IS HELD by ")]
    assert held.startswith("THE QUEUE IS HELD by ada since ")
    assert held.endswith(": smoke")
    assert "crucible release --reason TEXT" in said
    assert "all 0" not in everything


def test_a_run_that_does_not_exist_cannot_be_stopped(server: str) -> None:
    stopped = crucible("stop", "77", CRUCIBLE_DATA=server)

    assert stopped.returncode == 2
    assert "77" in stopped.stderr


def test_stop_needs_to_know_what(server: str) -> None:
    assert crucible("stop", CRUCIBLE_DATA=server).returncode == 2
    assert crucible("stop", "1", "--all", CRUCIBLE_DATA=server).returncode == 2


def test_without_a_server_commands_say_how_to_start_one(data: str) -> None:
    asked = crucible("runs", CRUCIBLE_DATA=data)

    assert asked.returncode == 2
    assert "scripts/run" in asked.stderr


def test_a_command_whose_server_was_killed_has_the_whole_line_that_ends_its_sandboxes(server: str) -> None:
    instance = (Path(server) / "instance").read_text().strip()
    os.kill(json.loads((Path(server) / "server.json").read_text())["pid"], signal.SIGKILL)
    asked = crucible("runs", CRUCIBLE_DATA=server)

    assert asked.returncode == 2
    assert asked.stderr.endswith(f"-m sandbox_runner kill-all --instance {instance}\n")


def test_a_proof_that_cannot_be_played_is_told_apart_from_one_that_was_not_asked_for_rightly(data: str) -> None:
    silent = crucible("doctor", "--prove", CRUCIBLE_DATA=data, CRUCIBLE_DOCKER_HOST="unix:///nowhere.sock")
    assert (silent.returncode, silent.stdout) == (3, "")
    assert "the engine does not answer" in silent.stderr
    misspelt = crucible("doctor", "--prove", "--only", "nothing-of-this-name", CRUCIBLE_DATA=data)
    assert misspelt.returncode == 2
    assert "nothing-of-this-name" in misspelt.stderr


def test_a_second_server_on_the_same_data_folder_is_refused(server: str) -> None:
    second = crucible(*SERVE, CRUCIBLE_DATA=server)

    assert second.returncode == 2
    assert "another Crucible server" in second.stderr
    assert (Path(server) / "server.json").exists()


def test_a_taken_port_is_named(server: str, tmp_path: Path) -> None:
    port = json.loads((Path(server) / "server.json").read_text())["url"].rsplit(":", 1)[1]
    second = crucible("serve", "--fake", "--port", port, CRUCIBLE_DATA=str(tmp_path / "other"))

    assert second.returncode == 2
    assert f":{port}" in second.stderr


def test_the_file_that_lets_commands_in_is_for_its_owner_only(server: str) -> None:
    assert (Path(server) / "server.json").stat().st_mode & 0o777 == 0o600
    assert Path(server).stat().st_mode & 0o777 == 0o700


def test_a_mistyped_setting_is_refused(data: str) -> None:
    asked = crucible("runs", CRUCIBLE_DATA=data, CRUCIBLE_SLOT="3")

    assert asked.returncode == 2
    assert "CRUCIBLE_SLOT" in asked.stderr


def test_doctor_says_that_the_engine_is_missing_and_what_to_do(data: str) -> None:
    told = crucible("doctor", CRUCIBLE_DATA=data, CRUCIBLE_DOCKER_HOST="unix:///nowhere/docker.sock")

    assert told.returncode == 3
    assert "MISSING" in told.stdout
    assert "scripts/bootstrap" in told.stdout


def test_evaluate_without_a_server_and_without_an_engine_says_so_at_once(data: str) -> None:
    asked = crucible(
        "evaluate", "--suite", "demo", CRUCIBLE_DATA=data, CRUCIBLE_DOCKER_HOST="unix:///nowhere/docker.sock"
    )

    assert asked.returncode == 2
    assert "engine does not answer" in asked.stderr


def test_an_evaluation_whose_server_is_killed_says_so_and_starts_no_other(server: str) -> None:
    pid = json.loads((Path(server) / "server.json").read_text())["pid"]
    asked = begun("evaluate", "--suite", "demo", "--epochs", "50", CRUCIBLE_DATA=server)
    assert asked.stdout is not None
    assert asked.stdout.readline().startswith("Evaluation 1:")
    os.kill(pid, signal.SIGKILL)
    _, said = asked.communicate(timeout=60)

    assert asked.returncode == 2
    assert "evaluation 1 is in its record" in said
    assert "Traceback" not in said
    assert "No server is running" not in said


@pytest.mark.parametrize("watch", [(), ("--watch",)])
def test_an_evaluation_whose_server_is_shut_down_says_so_and_what_became_of_its_runs(
    server: str, watch: tuple[str, ...]
) -> None:
    pid = json.loads((Path(server) / "server.json").read_text())["pid"]
    asked = begun("evaluate", "--suite", "demo", "--epochs", "50", *watch, CRUCIBLE_DATA=server)
    assert asked.stdout is not None
    assert asked.stdout.readline().startswith("Evaluation 1:")
    os.kill(pid, signal.SIGINT)
    _, said = asked.communicate(timeout=60)

    assert asked.returncode == 2
    assert "the server was shut down while evaluation 1 ran. Of its 450 runs " in said
    assert "Waiting for the next server: " in said
    assert "does not answer" not in said
    assert "kill-all" not in said
    assert "Traceback" not in said


def test_an_evaluation_that_waits_for_a_held_queue_says_so(server: str) -> None:
    crucible("stop", "--all", CRUCIBLE_DATA=server)
    asked = begun("evaluate", "--suite", "demo", "--task", "word_puzzle/1", CRUCIBLE_DATA=server)
    assert asked.stderr is not None
    assert "held by" in asked.stderr.readline()
    later = begun("evaluate", "--suite", "demo", "--task", "word_puzzle/1", CRUCIBLE_DATA=server)
    assert later.stderr is not None
    assert "held by" in later.stderr.readline()
    crucible("stop", "2", CRUCIBLE_DATA=server)
    later.communicate(timeout=60)
    (listed,) = crucible("runs", "--limit", "1", CRUCIBLE_DATA=server).stdout.splitlines()[1:]
    assert listed.split()[0] == "1", "what has ended takes no place of what has not"
    crucible("release", "--reason", "over", CRUCIBLE_DATA=server)
    asked.communicate(timeout=60)


def test_an_ended_run_is_listed_whole_read_in_part_and_told_of_when_stopped(server: str) -> None:
    crucible("evaluate", "--suite", "demo", "--task", "word_puzzle/1", CRUCIBLE_DATA=server)
    settings = Settings(data=Path(server))

    listed = crucible("runs", "--all", CRUCIBLE_DATA=server, COLUMNS="60").stdout
    assert "word_puzzle/1  puzzle_solver" in listed, "a narrow terminal cuts the detail, never a name"

    for options in ("--json", "--raw"):
        piped = subprocess.run(
            ["bash", "-c", f"{COMMAND} logs 1 {options} | head -n 0"],
            env=environment({"CRUCIBLE_DATA": server}),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert piped.stderr == "", "a reader that leaves early is no fault"

    said, over = known(settings, "run", 1)
    assert said.startswith("Run 1: ended, ")
    assert over
    assert known(settings, "evaluation", 1) == ("Evaluation 1: 1 of its 1 runs have ended.", True)
    with pytest.raises(Refused, match="99"):
        known(settings, "run", 99)


@pytest.mark.parametrize("what", [["1"], ["--evaluation", "1"]])
def test_stopping_what_has_ended_says_so_and_is_no_failure(
    server: str, what: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    crucible("evaluate", "--suite", "demo", "--task", "word_puzzle/1", CRUCIBLE_DATA=server)
    # As a warden answers that knows no sandbox of it.
    answer = {
        "ok": len(what) == 1,
        "ended": [],
        "error": "" if len(what) == 1 else "no sandbox of evaluation 1 is known",
    }
    monkeypatch.setattr(warden_socket, "ask", lambda *_, **__: answer)

    done = CliRunner().invoke(stop, what, obj=Settings(data=Path(server)))

    assert done.exit_code == 0, done.output
    assert "ended" in done.output
    assert "no sandbox of evaluation" not in done.output


def test_a_score_is_told_in_the_words_of_the_pages() -> None:
    assert score_text({"status": "manual", "value": None}) == "needs a person"
    assert score_text({"status": "failed", "value": None}) == "scoring failed"
    assert score_text({"status": "scored", "value": 0.5}) == "0.5"


def test_the_first_start_tells_nothing_of_the_steps_of_its_database(data: str) -> None:
    said, _ = served(CRUCIBLE_DATA=data)
    assert "Crucible is at" in said
    assert "alembic" not in said
