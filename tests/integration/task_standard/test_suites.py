"""A request becomes runs, or is refused with what is wrong, where, and what to do: before anything is queued."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from app.domain.alerts import Category
from app.domain.errors import NotFound, Refused
from app.domain.runs import EvaluationRequest, Outcome, Policy
from app.settings import ROOT
from app.task_standard import suites
from app.task_standard.agents import agent_archive, load_agent
from app.task_standard.family import find_family
from tests.integration.task_standard.conftest import SOURCE, House


def request(**changes: object) -> EvaluationRequest:
    return EvaluationRequest(**{"suite": "small", **changes})  # type: ignore[arg-type]


def test_a_suite_says_what_it_expects(house: House) -> None:
    suite = suites.load_suite([house.folder], "small")
    assert (suite.title, suite.description, len(suite.tasks)) == ("Small", "For a test.", 3)
    right = suite.expectation("fam", "1", "right")
    assert right is not None
    assert (right.outcome, right.score, right.quiet) == (Outcome.SUCCEEDED, 1, True)
    wrong = suite.expectation("fam", "1", "wrong")
    assert wrong is not None
    assert (wrong.outcome, wrong.score, wrong.quiet) == (None, None, False)
    two = suite.expectation("fam", "two", "right")
    assert two is not None
    assert (two.alerts, two.quiet) == ({Category.DECEPTION, Category.MANIPULATION}, False)
    assert suite.expectation("fam", "two", "wrong") is None


def test_a_whole_suite_is_planned_in_its_order_epoch_by_epoch(house: House) -> None:
    planned = suites.plan([house.folder], request(epochs=2, model="m"))
    assert [(run.task, run.agent, run.epoch) for run in planned] == [
        ("1", "right", 1), ("1", "wrong", 1), ("two", "right", 1),
        ("1", "right", 2), ("1", "wrong", 2), ("two", "right", 2),
    ]  # fmt: skip
    assert {run.model for run in planned} == {"m"}
    assert [run.policy for run in planned[:3]] == [Policy.NOTIFY, Policy.STOP, Policy.NOTIFY]


def test_limits_come_from_the_manifest_then_the_suite_then_the_request(house: House) -> None:
    right, wrong, two = suites.plan([house.folder], request(limits={"pids": 100}))
    assert (right.limits.memory_bytes, right.limits.cpus, right.limits.wall_seconds) == (256 * 2**20, 0.5, 600)
    assert (wrong.limits.wall_seconds, wrong.limits.pids) == (300, 100)
    assert two.limits.memory_bytes == 512 * 2**20


def test_a_manifest_never_asks_for_more_cores_or_less_memory_than_can_be(house: House) -> None:
    house.write("families/fam/manifest.yaml", "tasks:\n  1:\n    resources: {cpus: 500, memory_gb: 0.001}\n")
    limits = suites.plan([house.folder], request())[0].limits
    assert limits.cpus <= 64
    assert limits.memory_bytes == 64 * 2**20
    assert limits.disk_bytes <= limits.memory_bytes


def test_one_agent_for_all_gives_each_task_once(house: House) -> None:
    planned = suites.plan([house.folder], request(agent="wrong", policy=Policy.FREEZE))
    assert [(run.task, run.agent) for run in planned] == [("1", "wrong"), ("two", "wrong")]
    assert planned[0].limits.pids == 64  # the suite's own entry for this agent
    assert {run.policy for run in planned} == {Policy.FREEZE}


def test_chosen_tasks_only(house: House) -> None:
    assert [run.task for run in suites.plan([house.folder], request(tasks=("fam/two",)))] == ["two"]


@pytest.mark.parametrize(
    ("changes", "kind", "complaint"),
    [
        ({"suite": "smal"}, NotFound, "suites: there is no suite 'smal'. Did you mean 'small'?"),
        ({"suite": "../small"}, NotFound, "suites: there is no suite '../small'"),
        ({"agent": "rihgt"}, NotFound, "agents: there is no agent 'rihgt'. Did you mean 'right'?"),
        ({"agent": "../../etc"}, NotFound, "agents: there is no agent"),
        ({"tasks": ("fam/tow",)}, NotFound, "{folder}/small.yaml: there is no task 'fam/tow'. Did you mean 'fam/two'?"),
        ({"epochs": 0}, Refused, "request: epochs is 0"),
        ({"epochs": 101}, Refused, "request: epochs is 101"),
        ({"limits": {"memory": "1g"}}, Refused, "limits: there is no limit called 'memory'"),
        ({"limits": {"wall_seconds": "soon"}}, Refused, "limits: wall_seconds cannot be read from 'soon'"),
    ],
)
def test_a_wrong_request_is_refused(
    house: House, changes: dict[str, object], kind: type[Refused], complaint: str
) -> None:
    with pytest.raises(kind) as refused:
        suites.plan([house.folder], request(**changes))
    assert str(refused.value).startswith(complaint.format(folder=house.folder))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("title: x\n", "{folder}/small.yaml:1: has no tasks"),
        ("tasks:\n  - task: fam/1\n", "{folder}/small.yaml:2: `agent` is missing"),
        ("tasks:\n  - {task: fam, agent: right}\n", "{folder}/small.yaml:2: 'fam' is not a task"),
        ("tasks:\n  - {task: a/b/c, agent: right}\n", "{folder}/small.yaml:2: 'a/b/c' is not a task"),
        (
            "tasks:\n  - {task: fam/1, agent: right, polcy: stop}\n",
            "{folder}/small.yaml:2: `tasks[1]` has no key 'polcy'",
        ),
        (
            "tasks:\n  - {task: fam/1, agent: right, policy: halt}\n",
            "{folder}/small.yaml:2: 'halt' is not one of notify",
        ),
        ("tasks:\n  - task: fam/1\n    agent: right\n    limits: {pids: 1}\n", "{folder}/small.yaml:4: pids is 1"),
        ("tasks:\n  - task: fam/1\n    agent: right\n    expect: {outcome: good}\n", "{folder}/small.yaml:4: 'good'"),
        (
            "tasks:\n  - {task: fam/1, agent: right}\n  - {task: fam/1, agent: right}\n",
            "{folder}/small.yaml:3: fam/1 with",
        ),
        ("tasks:\n  - {task: fam/tow, agent: right}\n", "{folder}/families/fam/fam.py: there is no task 'tow'"),
        ("tasks:\n  - {task: fan/1, agent: right}\n", "families: there is no family 'fan'. Did you mean 'fam'?"),
        ("tasks:\n  - {task: fam/1, agent: nobody}\n", "agents: there is no agent 'nobody'"),
    ],
)
def test_a_broken_suite_is_refused_with_its_line(house: House, text: str, complaint: str) -> None:
    house.write("small.yaml", text)
    with pytest.raises(Refused) as refused:
        suites.plan([house.folder], request())
    assert str(refused.value).startswith(complaint.format(folder=house.folder))


def test_a_broken_family_agent_or_gpu_task_is_found_before_anything_is_queued(house: House) -> None:
    house.write("families/fam/fam.py", "def x(:\n")
    with pytest.raises(Refused, match=rf"^{house.folder}/families/fam/fam.py:1: is not valid Python"):
        suites.plan([house.folder], request())
    house = House(house.folder)
    (house.folder / "agents" / "right" / "link").symlink_to("/etc/passwd")
    with pytest.raises(Refused, match=rf"^{house.folder}/agents/right/link: is a symbolic link"):
        suites.plan([house.folder], request())
    (house.folder / "agents" / "right" / "link").unlink()
    house.write(
        "families/fam/manifest.yaml", "tasks:\n  1:\n    resources: {gpu: {count_range: [1, 1], model: h100}}\n"
    )
    with pytest.raises(Refused, match=rf"^{house.folder}/families/fam/manifest.yaml:3: the task needs a GPU"):
        suites.plan([house.folder], request())


def test_lists_leave_out_what_cannot_be_used(house: House) -> None:
    house.write("broken.yaml", "tasks: [\n")
    house.write("agents/empty/readme.txt", "x")
    house.write("agents/odd/main.py", "")
    house.write("agents/odd/agent.yaml", "titel: x\n")
    assert [suite.name for suite in suites.list_suites([house.folder])] == ["small"]
    assert [(agent.name, agent.main, agent.title) for agent in suites.list_agents([house.folder])] == [
        ("right", "main.py", "Right one"),
        ("wrong", "main.sh", "wrong"),
    ]
    with pytest.raises(Refused, match=rf"^{house.folder}/agents/odd/agent.yaml:1: the file has no key 'titel'"):
        load_agent([house.folder], "odd")
    with pytest.raises(Refused, match=rf"^{house.folder}/agents/empty: has neither main.sh nor main.py"):
        load_agent([house.folder], "empty")
    assert suites.list_suites([house.folder / "nowhere"]) == []
    assert suites.list_agents([house.folder / "nowhere"]) == []


def test_the_first_folder_that_has_a_name_counts_and_the_rest_stays_beside_it(house: House, tmp_path: Path) -> None:
    own = House(tmp_path / "own")
    own.write("small.yaml", "title: Own\ntasks:\n  - {task: mine/1, agent: right}\n  - {task: fam/two, agent: left}\n")
    own.write("families/mine/mine.py", SOURCE)
    own.write("agents/right/agent.yaml", "title: Own right one\n")
    shutil.rmtree(own.folder / "agents" / "wrong")
    house.write("agents/left/main.sh", "echo left\n")
    house.write("other.yaml", "tasks:\n  - {task: fam/1, agent: right}\n")
    folders = [own.folder, house.folder]
    assert [(suite.name, suite.title) for suite in suites.list_suites(folders)] == [
        ("other", "other"),
        ("small", "Own"),
    ]
    assert [agent.title for agent in suites.list_agents(folders)] == ["left", "Own right one", "wrong"]
    assert [run.task for run in suites.plan(folders, request())] == ["1", "two"]
    assert find_family(folders, "fam").folder == own.family
    assert load_agent(folders, "left").folder == house.folder / "agents" / "left"


def test_an_own_suite_that_cannot_be_read_is_refused_and_not_replaced(house: House, tmp_path: Path) -> None:
    own = House(tmp_path / "own")
    own.write("small.yaml", "tasks: [\n")
    folders = [own.folder, house.folder]
    with pytest.raises(Refused, match=rf"^{own.folder}/small.yaml:2: "):
        suites.load_suite(folders, "small")
    assert suites.list_suites(folders) == []
    assert len(suites.unreadable_suites(folders)) == 1


def test_a_folder_that_is_not_there_is_told(house: House) -> None:
    folders = [house.folder / "nowhere", house.folder]
    (why,) = suites.unreadable_suites(folders)
    assert str(why) == f"{folders[0]}: is no folder. CRUCIBLE_SUITES names it."
    with pytest.raises(NotFound, match=rf"no suite 'mine'. Known: small. {folders[0]} is no folder"):
        suites.load_suite(folders, "mine")


def test_a_file_of_the_checkout_is_named_from_there_on() -> None:
    assert suites.load_suite([SHIPPED], "demo").file == "suites/demo.yaml"


SHIPPED = ROOT / "suites"


@pytest.mark.parametrize("name", sorted(file.stem for file in SHIPPED.glob("*.yaml")))
def test_every_suite_that_ships_can_be_planned_and_says_what_it_expects(name: str) -> None:
    suite = suites.load_suite([SHIPPED], name)
    assert suite.title
    assert suite.description
    assert len(suites.plan([SHIPPED], EvaluationRequest(suite=name))) == len(suite.tasks)
    assert all(task.expect.outcome is not None for task in suite.tasks)


def test_the_demo_shows_every_kind_of_danger_and_both_ends_of_the_scale() -> None:
    demo = suites.load_suite([SHIPPED], "demo")
    assert {category for task in demo.tasks for category in task.expect.alerts} == set(Category) - {Category.HOST}
    assert {task.expect.score for task in demo.tasks} >= {0.0, 1.0, None}
    assert {task.expect.outcome for task in demo.tasks} >= {
        Outcome.SUCCEEDED, Outcome.STOPPED, Outcome.LIMIT_EXCEEDED,
    }  # fmt: skip


@pytest.mark.parametrize("folder", sorted(path.name for path in (SHIPPED / "agents").iterdir() if path.is_dir()))
def test_every_agent_that_ships_can_be_packed_and_says_what_it_is(folder: str) -> None:
    agent = load_agent([SHIPPED], folder)
    assert agent.title != agent.name
    assert len(agent.description) > 20
    assert len(agent_archive(agent)) < 100_000
    first = (Path(agent.folder) / agent.main).read_text()
    assert '"I am the ' in first


@pytest.mark.parametrize("score", ["1e400", "-1e999"])
def test_an_expected_score_is_a_number_that_can_be_written_down(house: House, score: str) -> None:
    house.write(
        "endless.yaml", f"title: E\ntasks:\n  - task: fam/1\n    agent: right\n    expect: {{score: {score}}}\n"
    )
    with pytest.raises(Refused, match="is not finite"):
        suites.load_suite([house.folder], "endless")


def test_an_agent_whose_name_no_page_can_show_is_not_offered(house: House) -> None:
    for name in (b"\xff", b"a\nb", b"\x1b[2J"):
        folder = Path(os.fsdecode(os.fsencode(house.folder) + b"/agents/" + name))
        folder.mkdir()
        (folder / "main.py").write_text("")
    assert {agent.name for agent in suites.list_agents([house.folder])} == {"right", "wrong"}
