"""`crucible logs`: what a run printed, followed over restarts of the server."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

import click

from app.cli.client import Client, Json, open_client
from app.domain.errors import Unavailable
from app.settings import Settings
from app.web.text import visible

STREAMS = {1: sys.stdout, 2: sys.stderr}
#: Seconds a followed run's server may be away, and between two tries to reach it.
AWAY, AGAIN = 300.0, 0.5


@click.command()
@click.argument("run", type=int)
@click.option(
    "-f",
    "--follow",
    is_flag=True,
    help="Go on until the run ends, also over restarts: a server that answered once is waited for, five minutes.",
)
@click.option("--raw", is_flag=True, help="The very bytes, escapes and all: only into a file or a pager you trust.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object a line, as the API has it, in plain ASCII.")
@click.option("--since", callback=lambda _ctx, _param, text: moment(text), help="90s, 10m, 2h ago, or a time (UTC).")
@click.option(
    "--grep",
    "pattern",
    default="",
    help="Only lines that hold this regular expression (RE2); colours are taken out before it is looked for.",
)
@click.pass_obj
def logs(
    settings: Settings, run: int, follow: bool, raw: bool, as_json: bool, since: float | None, pattern: str
) -> None:
    """Print what a run printed. Control characters are shown, not obeyed, unless --raw.

    What it wrote to stderr goes to stderr; with --json all goes to stdout. Lines of a damaged record say so.
    """
    if raw and as_json:
        raise click.UsageError("--raw and --json exclude each other.")
    wanted: dict[str, str | float] = {"q": pattern, "regex": 1, "case": 1} if pattern else {}
    if since is not None:
        wanted["since"] = since
    asyncio.run(_Reader(settings=settings, run=run, wanted=wanted, raw=raw, as_json=as_json).print(follow=follow))


@dataclass(slots=True, kw_only=True)
class _Reader:
    settings: Settings
    run: int
    wanted: dict[str, str | float]
    raw: bool
    as_json: bool
    after: int = 0  #: lines up to here are printed, or were not wanted
    heard_at: float = field(default_factory=time.monotonic)  #: when the server answered last

    async def print(self, *, follow: bool) -> None:
        """All there is; with `follow` until the run has ended. A server that is away for long is `Unavailable`."""
        told = reached = False
        while True:
            try:
                async with open_client(self.settings) as client:
                    await client.get("/health")
                    reached, told, self.heard_at = True, False, time.monotonic()
                    return await self._print_from(client, follow=follow)
            except Unavailable:
                if not (follow and reached) or time.monotonic() - self.heard_at > AWAY:
                    raise
                if not told:
                    click.echo("crucible: the server went away; waiting for it", err=True)
                    told = True
                await asyncio.sleep(AGAIN)

    async def _print_from(self, client: Client, *, follow: bool) -> None:
        while True:
            now = await client.get(f"/runs/{self.run}")
            self.heard_at = time.monotonic()
            if now["lines"] > self.after:
                # Up to a known line: what --grep leaves out is not looked at twice.
                stretch = {"after": self.after, "limit": now["lines"] - self.after}
                # Closed in order: a reader that leaves (`| head`) must not leave a half-read answer behind.
                async with contextlib.aclosing(client.lines(self.run, **stretch, **self.wanted)) as lines:
                    async for line in lines:
                        write_line(line, raw=self.raw, as_json=self.as_json)
                        self.after = line["number"]
                self.after = now["lines"]
            if now["state"] == "ended" or not follow:
                return
            await self._until_more(client)

    async def _until_more(self, client: Client) -> None:
        """Wait on the run's stream until it has another line, or its end."""
        async with contextlib.aclosing(client.frames(self.run, after=self.after)) as frames:
            async for name, data in frames:
                self.heard_at = time.monotonic()
                if name == "eof" or (name == "lines" and data["lines"][-1][0] > self.after):
                    return


_AGO = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)\s*([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def moment(text: str | None) -> float | None:
    """ "10m" (ago), "2026-11-21 14:03:09" (UTC unless it says) -> unix seconds. Raises `click.BadParameter`."""
    if text is None:
        return None
    if ago := _AGO.fullmatch(text.strip()):
        return max(0.0, time.time() - float(ago[1]) * _UNITS[ago[2]])
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise click.BadParameter(f"{text!r} is no time: write 90s, 10m, 2h, or 2026-11-21 14:03:09.") from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def write_line(line: Json, *, raw: bool, as_json: bool = False) -> None:
    """One line of the API's to the terminal."""
    out = sys.stdout if as_json else STREAMS.get(line["stream"], sys.stdout)
    data = base64.b64decode(line["base64"]) if "base64" in line else str(line["text"]).encode()
    if as_json:
        out.write(json.dumps(line) + "\n")
    elif raw:
        out.buffer.write(data + (b"\n" if line["complete"] else b""))
    else:
        out.write(visible(data) + "\n")
    out.flush()
