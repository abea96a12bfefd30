"""Task families in real sandboxes, through the driver: build, setup, agent, collect, score, teardown."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.domain.errors import Broken
from app.domain.scores import ScoreStatus
from app.settings import ROOT
from app.task_standard import operations
from app.task_standard.agents import Agent, load_agent
from app.task_standard.family import Family, load_family
from sandbox_runner.spec import Role
from tests.docker.conftest import Bench
from tests.docker.theatre import LIMITS, Theatre

SUITES = ROOT / "suites"

#: A family with the habits that the wild ones have. Its tasks' names are the scorers' kinds.
ODD = """
import json, math, os, sys, subprocess
from metr_task_standard.types import VMSpec
WORDS = open("assets/words.txt").read().split()      # at import, relative to /root

class Number:
    def __float__(self):
        return 0.5

class TaskFamily:
    @staticmethod
    def get_aux_vm_spec(t) -> VMSpec | None:
        return None

    @staticmethod
    def get_tasks():
        with open("assets/words.txt") as file:
            file.read()
        kinds = "half int negative none nan infinity text raises exits prints object inherits secret true".split()
        return {kind: {"kind": kind, "function": print} for kind in kinds} | {7: {"kind": "half", "function": print}}

    @staticmethod
    def get_permissions(t):
        return [f"permission-{number}" for number in range(100_000)] if t["kind"] == "int" else []

    @staticmethod
    def get_instructions(t):
        print("words in front of the answer " * 100)
        return f"{t['kind']}: \\ud800 \\x00 {WORDS[0]}"

    @staticmethod
    def install():
        open("/root/installed.txt", "w").write("yes")

    @staticmethod
    def start(t):
        assert open("/root/installed.txt").read() == "yes"
        open("/root/secret.txt", "w").write("only root knows")
        os.chmod("/root/secret.txt", 0o600)
        home = "/home/agent/"
        open(home + "plain.txt", "w").write("for the agent")
        open(home + "guarded.txt", "w").write("for the scorer")
        subprocess.run(["chgrp", "protected", home + "guarded.txt"], check=True)
        os.chmod(home + "guarded.txt", 0o640)
        os.symlink("/root/secret.txt", home + "link_to_secret")
        for name in (".hidden", ".ssh"):
            os.mkdir(home + name)
            open(home + name + "/file", "w").write(name)

    @staticmethod
    def score(t, submission):
        kind = t["kind"]
        if kind == "raises":
            raise KeyError("no such thing")
        if kind == "exits":
            sys.exit(3)
        if kind == "prints":
            for _ in range(11 * 16):
                print("x" * 65536)
            return 0.25
        if kind == "object":
            return Number()
        if kind == "inherits":
            # An agent's program, started by the scorer, that tries to answer in its place.
            subprocess.run("for fd in 3 4 5 6 7 8 9; do echo '{\\"ok\\": {\\"kind\\": \\"number\\", \\"value\\": 1}}' "
                           ">&$fd; done; env | grep -c CRUCIBLE_RESULT", shell=True, close_fds=False)
            return 0.0
        if kind == "secret":
            assert open("/home/agent/guarded.txt").read() == "for the scorer"
            assert not os.path.lexists("/home/agent/link_to_secret")
            return float(open("/home/agent/submission.txt").read() == submission)
        return {"half": 0.5, "int": 3, "negative": -2.5, "none": None, "nan": math.nan, "infinity": math.inf,
                "text": "0.5", "true": True}[kind]

    @staticmethod
    def teardown():
        open("/root/torn", "w").write("down")
"""
AGENT = """
import os, socket
os.chdir("/home/agent")
print(os.getuid(), open("instructions.txt").read()[:4], open("plain.txt").read())
for path in ("/root/secret.txt", "guarded.txt", "link_to_secret", "/root/installed.txt"):
    try:
        print("read", path, open(path).read())
    except OSError as error:
        print("denied", path)
open("submission.txt", "w").write("mine\\n")
open("guarded.txt", "w").write("forged")
os.mkdir("deep"); os.chdir("deep")
for number in range(40):
    os.mkdir("d"); os.chdir("d")
os.chdir("/home/agent")
os.symlink("/etc/passwd", "stolen"); os.symlink("/", "everything")
os.mkfifo("pipe")
socket.socket(socket.AF_UNIX).bind("socket")
open(b"not \\xff utf-8", "w").write("x")
open("unreadable", "w").write("x"); os.chmod("unreadable", 0)
with open("sparse", "wb") as file:
    try:
        file.truncate(1 << 40)
    except OSError as error:
        print(error.strerror)
os.makedirs("many")
for number in range(500):
    open(f"many/{number}", "w").write("x")
with open("run.sh", "w") as file:
    file.write("echo hi"); os.chmod("run.sh", 0o6755)
os.remove("plain.txt")
print("done")
"""


@pytest.fixture
async def theatre(bench: Bench) -> AsyncIterator[Theatre]:
    theatre = Theatre(bench)
    yield theatre
    await theatre.close()


@pytest.fixture
def odd(tmp_path: Path) -> Family:
    folder = tmp_path / "families" / "odd"
    (folder / "assets").mkdir(parents=True)
    (folder / "odd.py").write_text(ODD)
    (folder / "assets" / "words.txt").write_text("anvil kettle\n")
    return load_family(folder)


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    folder = tmp_path / "agents" / "hostile"
    folder.mkdir(parents=True)
    (folder / "main.py").write_text(AGENT)
    return load_agent([tmp_path], "hostile")


async def test_a_task_is_played_from_its_files_to_its_score(theatre: Theatre) -> None:
    family, solver = load_family(SUITES / "families" / "word_puzzle"), load_agent([SUITES], "puzzle_solver")
    image = await theatre.build(family)
    ready, setup = await theatre.set_up(family, image, "1", solver)
    assert "Eight letters" in setup.instructions
    acted, collected = await theatre.act(ready, solver)
    assert acted.code == 0
    assert acted.out.startswith("I am the puzzle solver")
    assert collected.submission == "crucible"
    score = await theatre.score(family, ready, "1", collected)
    assert (score.status, score.value) == (ScoreStatus.SCORED, 1.0)
    wrong = await theatre.score(family, ready, "1", operations.parse_collected(b"", LIMITS))
    assert (wrong.status, wrong.value) == (ScoreStatus.SCORED, 0.0)


async def test_a_shell_agent_whose_essay_a_person_must_score(theatre: Theatre) -> None:
    family, essayist = load_family(SUITES / "families" / "counting"), load_agent([SUITES], "essayist")
    ready, _ = await theatre.set_up(family, await theatre.build(family), "essay", essayist)
    acted, collected = await theatre.act(ready, essayist)
    assert acted.code == 0, acted.out
    assert collected.submission.count("\n") == 3
    assert (await theatre.score(family, ready, "essay", collected)).status is ScoreStatus.MANUAL


async def test_an_agent_gets_its_home_and_nothing_of_roots_and_only_plain_files_come_back(
    theatre: Theatre, odd: Family, agent: Agent
) -> None:
    ready, setup = await theatre.set_up(odd, await theatre.build(odd), "secret", agent)
    assert setup.instructions == "secret: ? \x00 anvil"
    acted, collected = await theatre.act(ready, agent)
    assert acted.out.splitlines() == [
        "1000 secr for the agent",
        "denied /root/secret.txt",
        "denied guarded.txt",
        "denied link_to_secret",
        "denied /root/installed.txt",
        "File too large",
        "done",
    ]
    assert collected.submission == "mine\n"
    assert 100 < collected.files <= LIMITS.files
    # Two links, a pipe, a socket, the link from setup, a name, an unreadable file, depth, and many.
    assert collected.left_out > 300
    # The scorer's own checks: its guarded file is the one it made, no link came back, the submission is verbatim.
    score = await theatre.score(odd, ready, "secret", collected)
    assert (score.status, score.value) == (ScoreStatus.SCORED, 1.0), score


async def test_what_a_scorer_may_do_comes_out_as_what_it_is(theatre: Theatre, odd: Family, agent: Agent) -> None:
    image = await theatre.build(odd)
    ready, _ = await theatre.set_up(odd, image, "half", agent)
    expected = {
        "half": (ScoreStatus.SCORED, 0.5),
        "7": (ScoreStatus.SCORED, 0.5),
        "int": (ScoreStatus.SCORED, 3.0),
        "negative": (ScoreStatus.SCORED, -2.5),
        "true": (ScoreStatus.SCORED, 1.0),
        "object": (ScoreStatus.SCORED, 0.5),
        "prints": (ScoreStatus.SCORED, 0.25),
        "inherits": (ScoreStatus.SCORED, 0.0),
        "none": (ScoreStatus.MANUAL, None),
        "nan": (ScoreStatus.NOT_A_NUMBER, None),
        "infinity": (ScoreStatus.FAILED, None),
        "text": (ScoreStatus.FAILED, None),
        "raises": (ScoreStatus.FAILED, None),
        "exits": (ScoreStatus.FAILED, None),
        "nosuchtask": (ScoreStatus.FAILED, None),
    }
    found, reasons = {}, {}
    async with theatre.stage(Role.SCORING, ready) as stage:
        for number, kind in enumerate(expected, 1):
            done = await stage.run(operations.score_job(number, odd, kind), operations.score_input("x"))
            score = operations.parse_score(done.result, done.code)
            found[kind], reasons[kind] = (score.status, score.value), score.explanation
            if kind == "prints":
                assert len(done.out) == 11 * 2**20 + 11 * 16
            if kind == "inherits":
                # The complaints about `>&$fd` and the count come by two pipes, which have no order between them.
                counts = [line for line in done.out.splitlines() if line.isdecimal()]
                assert counts == ["0"]
        setup = await stage.run(operations.setup_job(90, odd, "int"))
        assert operations.parse_setup(setup.result, setup.code).permissions == frozenset()
        assert "100000 unknown permissions" in operations.parse_setup(setup.result, setup.code).warnings[0]
    assert found == expected
    assert "KeyError: 'no such thing' (/root/odd.py:" in reasons["raises"]
    assert reasons["exits"] == "score ended with exit code 3 without an answer"
    assert "get_tasks() has no task 'nosuchtask'; it has: 7, exits, half" in reasons["nosuchtask"]
    assert reasons["text"] == "score answered str, which is not a number"


async def test_teardown_is_called_with_or_without_its_argument(theatre: Theatre, tmp_path: Path, agent: Agent) -> None:
    for number, (signature, said) in enumerate({"()": "'none'", "(t)": "t", "(t=None)": "t", "(*a)": "a[0]"}.items()):
        folder = tmp_path / f"families{number}" / "small"
        folder.mkdir(parents=True)
        (folder / "small.py").write_text(
            "class TaskFamily:\n    get_tasks = staticmethod(lambda: {'a': 'given'})\n"
            f"    @staticmethod\n    def teardown{signature}:\n        print('torn', {said})\n"
        )
        family = load_family(folder)
        async with theatre.stage(Role.SCORING, await theatre.build(family)) as stage:
            done = await stage.run(operations.teardown_job(1, family, "a"))
            operations.parse_done("teardown", done.result, done.code)
            assert done.out == f"torn {'none' if signature == '()' else 'given'}\n"


async def test_a_family_that_fails_says_where(theatre: Theatre, tmp_path: Path, agent: Agent) -> None:
    folder = tmp_path / "families" / "bad"
    folder.mkdir(parents=True)
    (folder / "bad.py").write_text(
        "class TaskFamily:\n    @staticmethod\n    def get_tasks():\n        return {'a': 1}\n"
        "    @staticmethod\n    def install():\n        import nosuchmodule\n"
    )
    with pytest.raises(Broken, match=r"install raised ModuleNotFoundError: .*nosuchmodule.* \(/root/bad.py:7\)"):
        await theatre.build(load_family(folder))


async def test_a_score_log_is_aggregated_and_the_last_state_is_looked_at(theatre: Theatre, tmp_path: Path) -> None:
    folder = tmp_path / "families" / "log"
    folder.mkdir(parents=True)
    (folder / "log.py").write_text(
        "class TaskFamily:\n    get_tasks = staticmethod(lambda: {'a': 1})\n"
        "    @staticmethod\n    def intermediate_score(t):\n        return {'score': 0.75, 'message': {}}\n"
        "    @staticmethod\n    def aggregate_scores(t, score_log):\n"
        "        return max(entry['score'] for entry in score_log)\n"
        "    @staticmethod\n    def score(t, submission):\n        return 0.1\n"
    )
    family = load_family(folder)
    async with theatre.stage(Role.SCORING, await theatre.build(family)) as stage:
        done = await stage.run(operations.score_job(1, family, "a"), operations.score_input(""))
        assert operations.parse_score(done.result, done.code).value == 0.75
        setup = await stage.run(operations.setup_job(2, family, "a"))
        parsed = operations.parse_setup(setup.result, setup.code)
    assert parsed.intermediate_scoring
    assert parsed.instructions == ""
    assert len(parsed.warnings) == 2


async def test_instructions_without_end_are_refused_and_not_cut(theatre: Theatre, tmp_path: Path) -> None:
    folder = tmp_path / "families" / "long"
    folder.mkdir(parents=True)
    (folder / "long.py").write_text(
        "class TaskFamily:\n    get_tasks = staticmethod(lambda: {'fits': 200_000, 'not': 200_001})\n"
        "    @staticmethod\n    def get_instructions(t):\n        return '\\u5b57' * t\n"
    )
    family = load_family(folder)
    async with theatre.stage(Role.SCORING, await theatre.build(family)) as stage:
        fits = await stage.run(operations.setup_job(1, family, "fits"))
        assert operations.parse_setup(fits.result, fits.code).instructions == "\u5b57" * 200_000
        assert len(fits.result) < 1024 * 1024
        too_long = await stage.run(operations.setup_job(2, family, "not"))
        with pytest.raises(Broken, match="get_instructions answered 200001 characters"):
            operations.parse_setup(too_long.result, too_long.code)
