"""Jobs are what a keeper can start: short enough, as the right user, with nothing of the host in them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from app.domain import honeytokens
from app.task_standard import operations
from app.task_standard.agents import Agent
from app.task_standard.family import Family
from sandbox_runner.spec import Job

FAMILY = Family(name="fam", folder=Path("fam"), digest="0" * 64, manifest=None, task_names=None, files=())
AGENT = Agent(name="a", folder=Path("a"), title="A", description="", main="main.py")
ROOT_JOBS = (
    operations.unpack_job(1, "/root", 0, 0),
    operations.install_job(1, FAMILY),
    operations.setup_job(1, FAMILY, "1"),
    operations.start_job(1, FAMILY, "1"),
    operations.finish_setup_job(1),
    operations.score_job(1, FAMILY, "1"),
    operations.teardown_job(1, FAMILY, "1"),
)
AGENT_JOBS = (
    operations.populate_job(1),
    operations.agent_job(1, AGENT, {"CRUCIBLE_RUN": "7"}),
    operations.collect_job(1, 1000, 10),
)


@pytest.mark.parametrize("job", ROOT_JOBS + AGENT_JOBS, ids=lambda job: job.name)
def test_arguments_fit_where_arguments_must_fit(job: Job) -> None:
    assert sum(len(part.encode()) + 1 for part in job.argv) < 60_000


@pytest.mark.parametrize("job", AGENT_JOBS, ids=lambda job: job.name)
def test_what_touches_the_agents_sandbox_is_the_agent_there(job: Job) -> None:
    assert (job.uid, job.gid, job.groups) == (1000, 1000, ())


@pytest.mark.parametrize("job", ROOT_JOBS, ids=lambda job: job.name)
def test_operations_are_root_in_root(job: Job) -> None:
    assert (job.uid, job.gid, job.cwd) == (0, 0, "/root")


def test_who_reads_stdin_and_who_answers() -> None:
    assert [job.name for job in ROOT_JOBS + AGENT_JOBS if job.stdin] == ["unpack", "finish_setup", "score"]
    assert [job.name for job in ROOT_JOBS + AGENT_JOBS if job.result] == [
        "install", "setup", "start", "score", "teardown", "collect",
    ]  # fmt: skip


def test_the_agent_runs_its_shell_script_or_its_python_file_and_gets_what_the_run_adds() -> None:
    python = operations.agent_job(1, AGENT, {"CRUCIBLE_RUN": "7", "LANG": "de_DE"})
    assert python.argv == ("python3", "-u", "main.py")
    assert python.cwd == "/home/agent/scaffolding"
    assert (python.env["CRUCIBLE_RUN"], python.env["LANG"], python.env["HOME"]) == ("7", "de_DE", "/home/agent")
    shell = Agent(name="a", folder=Path("a"), title="A", description="", main="main.sh")
    assert operations.agent_job(1, shell, {}).argv == ("/bin/bash", "main.sh")


def test_a_submission_travels_whole() -> None:
    assert operations.score_input('a"\n\0é') == b'{"submission": "a\\"\\n\\u0000\\u00e9"}'


@pytest.mark.parametrize("job", [job for job in ROOT_JOBS + AGENT_JOBS if "-c" in job.argv], ids=lambda job: job.name)
def test_programs_inside_are_old_pythons_and_the_standard_librarys(job: Job) -> None:
    tree = ast.parse(job.argv[job.argv.index("-c") + 1], feature_version=(3, 9))
    names = {
        alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    names |= {str(node.module).split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names <= {"__future__", "grp", "importlib", "inspect", "itertools", "json", "math", "os", "shutil", "stat",
                     "sys", "tarfile", "traceback", "types", "typing"}  # fmt: skip


@pytest.mark.parametrize("answer", [b"", b"5", b"true", b"[" * 5000, b'"abc"', b'{"a": 1}', b"[1, null, [2]]", b"\xff"])
def test_whatever_is_said_of_honeytokens_is_read_or_counts_for_nothing(answer: bytes) -> None:
    tokens = honeytokens.fresh(bytes(range(128)))
    assert operations.parse_planted(answer, tokens) == tuple(token for token in tokens if token.variable is not None)
