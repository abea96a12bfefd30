"""The API for programs."""

from __future__ import annotations

import base64
import json
import math
import re
import time
from pathlib import Path

import pytest
from starlette.routing import Route

from app.domain.alerts import Category, Finding, Severity
from app.domain.runs import EvaluationRequest, RunState
from app.settings import Settings
from app.store import accounts, alerts, hold, output, runs
from app.store.output import StoredLine
from app.web.routes import TABLE
from sandbox_runner.driver import Stream
from sandbox_runner.fake_driver import FakeDriver
from tests.web.conftest import Site, knobs, until

DOCUMENT = Path(__file__).parents[2] / "docs" / "api.md"


class Api:
    """A program with a token."""

    def __init__(self, site: Site, token: str) -> None:
        self.site = site
        self.headers = {"authorization": f"Bearer {token}"}

    async def get(self, path: str, status: int = 200) -> dict[str, object]:
        answer = await self.site.stranger.get(f"/api/v1{path}", headers=self.headers)
        assert answer.status_code == status, answer.text
        body: dict[str, object] = answer.json()
        return body

    async def post(self, path: str, status: int = 200, **data: object) -> dict[str, object]:
        answer = await self.site.stranger.post(f"/api/v1{path}", headers=self.headers, json=data)
        assert answer.status_code == status, answer.text
        body: dict[str, object] = answer.json()
        return body


@pytest.fixture
def driver() -> FakeDriver:
    return FakeDriver(knobs(lines=((0.0, Stream.STDOUT, b"at work\n"),), run_for=math.inf))


@pytest.fixture
async def api(site: Site) -> Api:
    user = await accounts.administrator(site.db)
    token = await accounts.create_token(site.db, user.id, "t" * 43, "test", at=time.time(), expires_at=None)
    return Api(site, f"crc_{token.id}_{'t' * 43}")


async def at_work(site: Site) -> None:
    await site.supervisor.submit(EvaluationRequest(suite="tiny", tasks=("tiny/one",)), actor="admin")

    async def printed() -> bool:
        return (await runs.get(site.db, 1)).lines > 0

    await until(printed)


async def test_what_can_be_run(api: Api) -> None:
    nothing = {"outcome": None, "score": None, "alerts": [], "quiet": False}
    rest = {"agent": "doer", "policy": "notify", "expect": nothing}
    listed = (await api.get("/suites"))["suites"]
    suites = {suite["name"]: suite for suite in listed}  # type: ignore[attr-defined]
    assert {"tiny", "demo", "drill"} <= set(suites)
    assert [suites["tiny"]] == [
        {
            "name": "tiny",
            "title": "Tiny",
            "description": "Two tasks.",
            "tasks": [
                {"task": "tiny/one", **rest, "limits": {}},
                {
                    "task": "tiny/two",
                    "agent": "doer",
                    "limits": {"wall_seconds": "30s"},
                    "policy": "notify",
                    "expect": nothing,
                },
            ],
        }
    ]
    agents = (await api.get("/agents"))["agents"]
    assert {"name": "doer", "title": "doer"} in agents  # type: ignore[operator]
    assert "standby" in [agent["name"] for agent in agents]  # type: ignore[attr-defined]


async def test_an_evaluation_is_asked_for_and_followed(api: Api) -> None:
    made = await api.post("/evaluations", 201, suite="tiny", tasks=["tiny/one"], limits={"wall_seconds": "20s"})
    (run,) = made["runs"]  # type: ignore[misc]
    assert run["task"] == "tiny/one"  # type: ignore[call-overload]
    assert run["limits"]["wall_seconds"] == 20  # type: ignore[call-overload]
    assert (await api.get("/evaluations/1"))["evaluation"] == made["evaluation"]
    (listed,) = (await api.get("/evaluations"))["evaluations"]  # type: ignore[misc]
    assert listed["actor"] == "admin"  # type: ignore[call-overload]
    assert (await api.get("/evaluations?before=1"))["evaluations"] == []


@pytest.mark.parametrize(
    ("body", "where", "status"),
    [
        ({"suite": "tinny"}, "suites", 404),
        ({"suite": "tiny", "tasks": ["tiny/three"]}, "{suites}/tiny.yaml", 404),
        ({"suite": "tiny", "limits": {"pids": 1}}, "limits", 400),
        ({"suite": "tiny", "agents": "doer"}, "body", 400),
    ],
)
async def test_a_bad_request_names_what_where_and_what_to_do(
    api: Api, settings: Settings, body: dict[str, object], where: str, status: int
) -> None:
    error = (await api.post("/evaluations", status, **body))["error"]
    assert isinstance(error, dict)
    assert error["where"] == where.format(suites=settings.suites)
    assert error["what"]
    assert error["todo"]
    assert await runs.evaluations(api.site.db) == []


@pytest.mark.parametrize("body", [b"{", b"[1]", b"\xff", b'{"text": ' + b"[" * 50_000, b'"x"'])
async def test_a_body_that_is_no_json_object_is_400(api: Api, body: bytes) -> None:
    answer = await api.site.stranger.post("/api/v1/stop-all", headers=api.headers, content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["where"] == "body"
    assert await hold.current(api.site.db) is None


async def test_runs_are_listed_by_state_and_paged(api: Api) -> None:
    ended = await api.site.seed(state=RunState.ENDED)
    frozen = await api.site.seed(state=RunState.FROZEN)

    async def ids(query: str) -> list[int]:
        found = (await api.get(f"/runs?{query}"))["runs"]
        assert isinstance(found, list)
        return [run["id"] for run in found]

    assert await ids("") == [frozen.id, ended.id]
    assert await ids("state=ended") == [ended.id]
    assert await ids("state=ended&state=frozen&limit=1") == [frozen.id]
    assert await ids(f"before={frozen.id}") == [ended.id]
    assert await ids(f"evaluation={frozen.evaluation}") == [frozen.id]
    await api.get("/runs?state=gone", 400)
    await api.get("/runs?limit=0", 400)


async def test_a_run_with_all_that_belongs_to_it(api: Api) -> None:
    run = await api.site.seed(b"one", state=RunState.ENDED)
    whole = await api.get(f"/runs/{run.id}")
    assert whole["state"] == "ended"
    assert whole["outcome"] == "succeeded"
    assert whole["receipts"] == []
    assert whole["peak"] is None
    await api.get("/runs/999", 404)
    events = (await api.get(f"/runs/{run.id}/events"))["events"]
    assert isinstance(events, list)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["kind"] == "RunEnded"
    assert events[-1]["facts"] == {"outcome": "succeeded", "detail": "because"}
    rest = (await api.get(f"/runs/{run.id}/events?after={len(events) - 1}"))["events"]
    assert rest == events[-1:]


async def test_output_comes_as_json_lines_from_which_every_byte_can_be_had_back(api: Api) -> None:
    run = await api.site.seed()
    datas = [b"plain", "é\u2028".encode(), b"\xff\x00", b"", b"part"]
    lines = [
        StoredLine(number=n, at=1.5, stream=2, data=data, complete=data != b"part") for n, data in enumerate(datas, 1)
    ]
    await output.append(api.site.db, run.id, lines)
    answer = await api.site.stranger.get(f"/api/v1/runs/{run.id}/output", headers=api.headers)
    assert answer.headers["content-type"] == "application/x-ndjson"
    found = [json.loads(line) for line in answer.content.decode().split("\n") if line]
    assert found[0] == {"number": 1, "at": 1.5, "stream": 2, "text": "plain", "complete": True}
    assert found[-1]["complete"] is False
    back = [base64.b64decode(one["base64"]) if "base64" in one else one["text"].encode() for one in found]
    assert back == datas
    some = await api.site.stranger.get(f"/api/v1/runs/{run.id}/output?after=1&limit=2", headers=api.headers)
    assert [json.loads(line)["number"] for line in some.text.split("\n") if line] == [2, 3]


async def test_alerts_are_listed(api: Api) -> None:
    run = await api.site.seed(b"x")
    finding = Finding(
        rule="r", category=Category.MANIPULATION, severity=Severity.CRITICAL, title="t", response="do", line=1
    )
    await alerts.record(api.site.db, run.id, finding, at=1.0, action="notified")
    (alert,) = (await api.get(f"/alerts?run={run.id}&status=open"))["alerts"]  # type: ignore[misc]
    assert alert["severity"] == "critical"  # type: ignore[call-overload]
    assert alert["line"] == 1  # type: ignore[call-overload]
    assert (await api.get("/alerts?status=resolved"))["alerts"] == []
    await api.get("/alerts?status=gone", 400)


async def test_a_stop_that_waits_answers_when_death_is_proven(api: Api) -> None:
    await at_work(api.site)
    receipt = (await api.post("/runs/1/stop", kind="stop", text="why not", wait=True))["receipt"]
    assert isinstance(receipt, dict)
    assert receipt["dead_ms"] is not None
    assert receipt["changed"] is True
    assert (receipt["path"], receipt["actor"], receipt["text"]) == ("api", "admin", "why not")
    again = (await api.post("/runs/1/stop", wait=True))["receipt"]
    assert isinstance(again, dict)
    assert again["changed"] is False
    await api.post("/runs/1/stop", 400, kind="gently")
    await api.post("/runs/1/stop", 400, wait="yes")
    await api.post("/runs/1/stop", 400, king="stop")
    await api.post("/runs/999/stop", 404)


async def test_freeze_thaw_again(api: Api) -> None:
    await at_work(api.site)
    assert await api.post("/runs/1/freeze", text="a look") == {"run": 1, "frozen": True}
    assert await api.post("/runs/1/thaw") == {"run": 1, "frozen": False}
    conflict = await api.post("/runs/1/thaw", 409)
    assert "is not frozen" in str(conflict["error"])
    run = (await api.post("/runs/1/again", 201))["run"]
    assert isinstance(run, dict)
    assert run["retry_of"] == 1


async def test_stop_all_and_release(api: Api) -> None:
    await at_work(api.site)
    receipts = (await api.post("/stop-all", text="drill", wait=True))["receipts"]
    assert isinstance(receipts, list)
    assert [receipt["kind"] for receipt in receipts] == ["emergency"]
    assert receipts[0]["dead_ms"] is not None
    health = await api.get("/health")
    assert health["hold"]["text"] == "drill"  # type: ignore[index]
    await api.post("/release", 400)
    assert await api.post("/release", text="checked") == {"released": True}
    assert await api.post("/release", text="checked") == {"released": False}
    assert (await api.get("/health"))["hold"] is None


def parameters() -> dict[tuple[str, str], set[str]]:
    """Of each heading such as "### `GET /runs?state=&limit=`"."""
    found = re.findall(r"^### `(GET|POST) (/[^`?]*)\??([^`]*)`", DOCUMENT.read_text(), re.MULTILINE)
    return {(method, path): set(re.findall(r"(\w+)=", query)) for method, path, query in found}


@pytest.mark.parametrize(("method", "path"), sorted(parameters()))
async def test_a_mistyped_parameter_is_refused_and_told_those_of_the_document(api: Api, method: str, path: str) -> None:
    run = await api.site.seed(b"one")
    known = parameters()[method, path]
    address = re.sub(r"\{\w+\}", str(run.id), f"{path}?sinze=1")
    error = (await (api.get if method == "GET" else api.post)(address, 400))["error"]
    assert isinstance(error, dict)
    assert (error["what"], error["where"]) == ("there is no parameter 'sinze'", "query")
    told = error["todo"].removeprefix("Use ").removesuffix(".")
    assert told == (", ".join(sorted(known)) or "This address takes none")
    assert (await runs.get(api.site.db, run.id)).state is RunState.RUNNING


async def test_pages_pass_over_parameters_they_do_not_know(site: Site) -> None:
    run = await site.seed(b"one")
    for path in ("/", f"/runs/{run.id}", f"/runs/{run.id}/lines", "/evaluations", "/alerts"):
        assert (await site.browser.get(f"{path}?utm=1")).status_code == 200, path


def documented() -> set[tuple[str, str]]:
    """Method and path of each heading such as "### `GET /runs/{run}`"."""
    found = re.findall(r"^### `(GET|POST) (/[^`?]*)", DOCUMENT.read_text(), re.MULTILINE)
    return set(found)


def in_the_table() -> set[tuple[str, str]]:
    return {
        (method, re.sub(r":\w+}", "}", route.path).removeprefix("/api/v1"))
        for route in TABLE
        if isinstance(route, Route) and route.path.startswith("/api/v1")
        for method in (route.methods or set()) - {"HEAD"}
    }


def test_the_document_names_exactly_the_routes_there_are() -> None:
    assert documented() == in_the_table()


def test_every_route_of_the_document_has_an_example() -> None:
    sections = re.split(r"^### ", DOCUMENT.read_text(), flags=re.MULTILINE)[1:]
    without = [section.splitlines()[0] for section in sections if "curl " not in section]
    assert without == []
