"""`crucible evaluate`: ask for an evaluation, follow it, judge it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import shlex
import sys
from collections.abc import AsyncIterator

import click
import uvloop
from rich.console import Console
from rich.live import Live

from app.cli.after_shutdown import what_became
from app.cli.client import Client, Json
from app.cli.local_server import find_server, local_server
from app.cli.logs import write_line
from app.cli.results import Result, least_width, results_table
from app.cli.runs import live_table, plain, position, score_text, took
from app.domain.errors import Refused, Unavailable
from app.domain.sandboxes import Runtime
from app.settings import SHIPPED_SUITES, Settings
from sandbox_runner.fake_driver import FakeDriver

#: Seconds between looks at the runs; the lines of --watch come by the live stream.
TURN = 0.3

AS_EXPECTED, NOT_AS_EXPECTED = 0, 1


@click.command()
@click.option("--suite", required=True, help="Which suite; `crucible doctor` lists them.")
@click.option("--task", "tasks", multiple=True, help="Only this task (family/task); may be given more than once.")
@click.option("--agent", help="This agent for every task, instead of the suite's.")
@click.option("--model", help="Handed to the agent as CRUCIBLE_MODEL.")
@click.option("--epochs", type=click.IntRange(1, 100), default=1, show_default=True, help="How often each task.")
@click.option("--policy", type=click.Choice(["notify", "freeze", "stop"]), help="What grave alerts do.")
@click.option(
    "--runtime",
    type=click.Choice([each.value for each in Runtime]),
    help="Kernel of the sandboxes; auto: gVisor if it works.",
)
@click.option("--limit", "limits", multiple=True, metavar="NAME=VALUE", help="For example wall_seconds=2m.")
@click.option("--watch", is_flag=True, help="Print what the agents print, as it happens.")
@click.option("--fake", is_flag=True, help="Without a server: no containers, scripted sandboxes.")
@click.pass_obj
def evaluate(
    settings: Settings,
    suite: str,
    tasks: tuple[str, ...],
    agent: str | None,
    model: str | None,
    epochs: int,
    policy: str | None,
    runtime: str | None,
    limits: tuple[str, ...],
    watch: bool,
    fake: bool,
) -> None:
    """Run a suite and print its results.

    Uses the running server; without one, runs everything in this process. Exit code 0 when every run came to what its
    suite expects, 1 when one did not, 2 when the request is refused.
    """
    body: Json = {
        "suite": suite,
        "tasks": list(tasks),
        "agent": agent,
        "model": model,
        "epochs": epochs,
        "policy": policy,
        "runtime": runtime,
        "limits": _limits(limits),
    }
    body = {name: value for name, value in body.items() if value not in (None, [], {})}
    sys.exit(uvloop.run(_evaluate(settings, body, watch=watch, fake=fake)))


def _limits(written: tuple[str, ...]) -> dict[str, str]:
    limits = {}
    for text in written:
        name, equals, value = text.partition("=")
        if not equals:
            raise click.UsageError(f"--limit {text}: write NAME=VALUE")
        limits[name] = value
    return limits


async def _evaluate(settings: Settings, body: Json, *, watch: bool, fake: bool) -> int:
    async with _server(settings, fake=fake) as (client, beside):
        expectations = await _expectations(client, body["suite"])
        try:
            submitted = await client.post("/evaluations", body)
        except Refused as error:
            if beside and error.where == "suites":
                _refuse_a_suite_of_another_folder(settings, client, body["suite"])
            raise
        number = submitted["evaluation"]["id"]
        count = len(submitted["runs"])
        runs = "1 run" if count == 1 else f"{count} runs"
        click.echo(f"Evaluation {number}: {runs}, to be seen at {client.url}/evaluations/{number}")
        try:
            await _tell_hold(client)
            found = await (_watched(client, submitted["runs"], number) if watch else _followed(client, number))
        except Unavailable as error:
            if beside and (became := await what_became(settings, client.address, number)) is not None:
                raise Unavailable(f"the server was shut down while evaluation {number} ran. {became}") from None
            raise Unavailable(f"{error}. What became of evaluation {number} is in its record.") from None
        except asyncio.CancelledError:
            click.echo("Interrupted: stopping the runs of this evaluation.", err=True)
            await asyncio.shield(_stop(client, number))
            raise
        return await _report(client, found, expectations)


@contextlib.asynccontextmanager
async def _server(settings: Settings, *, fake: bool) -> AsyncIterator[tuple[Client, bool]]:
    """The running server and True, or one in this process on a free port and False."""
    found = find_server(settings)
    if found is not None:
        async with Client(settings, found) as client:
            if await client.answers():
                yield client, True
                return
    click.echo("No server is running: everything runs in this process.", err=True)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    driver = FakeDriver() if fake else None
    here = dataclasses.replace(settings, host="127.0.0.1", port=0)
    async with local_server(here, driver) as local, Client(here, local.address) as client:
        await _require_engine(client)
        yield client, False


def _refuse_a_suite_of_another_folder(settings: Settings, client: Client, suite: str) -> None:
    """Raises `Refused` when this command's own setting names a folder that has `suite`: the server has another."""
    folder = settings.suites.absolute()
    if folder != SHIPPED_SUITES and (folder / f"{suite}.yaml").is_file():
        raise Refused(
            f"the server at {client.url} knows no suite {suite!r}",
            where="suites",
            todo=f"It is in {folder}, but the server's own folder counts: end the server and start it again with "
            f"CRUCIBLE_SUITES={shlex.quote(str(folder))}.",
        )


async def _require_engine(client: Client) -> None:
    """A queue that waits for an engine is right for a server and wrong for one command."""
    for _ in range(20):
        engine = (await client.get("/health"))["engine"]
        if engine["reachable"]:
            return
        await asyncio.sleep(0.1)
    raise Unavailable(f"the container engine does not answer: {engine['text']}. `crucible doctor` says what to do.")


async def _tell_hold(client: Client) -> None:
    hold = (await client.get("/health"))["hold"]
    if hold is not None:
        click.echo(
            f"The queue is held by {hold['actor']}: {hold['text']}. Nothing starts before "
            "`crucible release --reason TEXT`.",
            err=True,
        )


async def _expectations(client: Client, suite: str) -> dict[tuple[str, str], Json]:
    suites = (await client.get("/suites"))["suites"]
    tasks = [task for known in suites if known["name"] == suite for task in known["tasks"]]
    return {(task["task"], task["agent"]): task["expect"] for task in tasks}


async def _runs(client: Client, evaluation: int) -> list[Json]:
    found: list[Json] = (await client.get(f"/evaluations/{evaluation}"))["runs"]
    return found


async def _followed(client: Client, evaluation: int) -> list[Json]:
    """A line per run, until all have ended."""
    console = Console(stderr=True)
    with Live(console=console, refresh_per_second=8, transient=True) as live:
        told: set[int] = set()
        while True:
            found = await _runs(client, evaluation)
            live.update(live_table([run for run in found if run["state"] != "ended"], width=console.width))
            for run in found:
                if run["state"] == "ended" and run["id"] not in told:
                    told.add(run["id"])
                    console.print(f"run {run['id']} ", plain(run["task"]), position(run), took(run))
            if len(told) == len(found):
                return found
            await asyncio.sleep(TURN)


async def _watched(client: Client, submitted: list[Json], evaluation: int) -> list[Json]:
    """Everything the agents print, marked with the run, until all have ended."""

    async def watch(run: int) -> None:
        after = 0
        async for name, data in client.frames(run):
            if name == "lines":
                async for line in client.lines(run, after=after):
                    after = line["number"]
                    sys.stdout.write(f"{run:>4} │ ")
                    write_line(line, raw=False)
            elif data and name == "alert":
                click.echo(f"{run:>4} ! {data}")

    try:
        async with asyncio.TaskGroup() as group:
            for run in submitted:
                group.create_task(watch(run["id"]), name=f"watch {run['id']}")
    except ExceptionGroup as several:
        silent, others = several.split(Unavailable)
        if silent is None or others is not None:
            raise
        raise silent.exceptions[0] from None  # One server is silent, however many watched it.
    # The streams end with the runs; only what a dropped stream left is still to be waited for.
    return await _followed(client, evaluation)


async def _stop(client: Client, evaluation: int) -> None:
    for run in await _runs(client, evaluation):
        if run["state"] != "ended":
            await client.post(f"/runs/{run['id']}/stop", {"text": "crucible evaluate was interrupted", "wait": True})


async def _report(client: Client, found: list[Json], expectations: dict[tuple[str, str], Json]) -> int:
    """The table of results, and the exit code."""
    alerts = (await client.get("/alerts", limit=1000))["alerts"]
    results = []
    wrong = 0
    for run in found:
        categories = {alert["category"] for alert in alerts if alert["run"] == run["id"]}
        expected = expectations.get((run["task"], run["agent"]))
        differences = _differences(run, categories, expected)
        wrong += bool(differences)
        results.append(
            Result(
                run=plain(run["id"]),
                task=plain(run["task"]),
                agent=plain(run["agent"]),
                outcome=plain(position(run)),
                score=plain(score_text(run["score"])),
                took=plain(took(run)),
                alerts=plain(", ".join(sorted(categories)) or "-"),
                verdict=plain("; ".join(differences) or ("as expected" if expected else "ended")),
            )
        )
    width = max(Console().width if sys.stdout.isatty() else 200, least_width(results))
    Console(width=width).print(results_table(results, width=width))
    return NOT_AS_EXPECTED if wrong else AS_EXPECTED


def _differences(run: Json, categories: set[str], expected: Json | None) -> list[str]:
    """What came otherwise than expected; without an expectation only our own failures count."""
    if expected is None or expected["outcome"] is None:
        bad = run["outcome"] in {"broken", "lost"}
        return [str(run["detail"])] if bad else []
    differences = []
    if run["outcome"] != expected["outcome"]:
        differences.append(f"expected {expected['outcome']}: {run['detail']}")
    value = run["score"]["value"] if run["score"] else None
    if expected["score"] is not None and value != expected["score"]:
        differences.append(f"expected score {expected['score']:g}{_unscored(run['score'])}")
    missing = set(expected["alerts"]) - categories
    if missing:
        differences.append(f"no alert of {', '.join(sorted(missing))}")
    if expected["quiet"] and categories:
        differences.append("expected no alert")
    return differences


def _unscored(score: Json | None) -> str:
    """Why there is no number to compare, in the scorer's own words."""
    if score is None or score["status"] == "scored" or not score["explanation"]:
        return ""
    return f": {score['explanation']}"
