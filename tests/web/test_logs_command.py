"""`crucible logs` against a real server: followed, filtered, from a moment on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from pathlib import Path

from app.domain.runs import Outcome, RunState
from app.store import accounts, runs
from app.web.access import new_secret
from tests.web.conftest import Site


async def logs(site: Site, *arguments: str, server: str = "") -> asyncio.subprocess.Process:
    user = await accounts.administrator(site.db)
    secret = new_secret()
    token = await accounts.create_token(site.db, user.id, secret, "t", at=time.time(), expires_at=None)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CRUCIBLE_")}
    return await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "crucible"),
        "logs",
        *arguments,
        env={**clean, "CRUCIBLE_SERVER": server or site.url, "CRUCIBLE_TOKEN": f"crc_{token.id}_{secret}"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_a_followed_and_filtered_run_is_printed_to_its_end(site: Site) -> None:
    run = await site.seed(b"1 tick", b"2 needle \x1b[2J", b"3 tick")
    following = await logs(site, str(run.id), "-f", "--grep", "^[0-9] need", "--since", "1h")
    assert following.stdout is not None
    async with asyncio.timeout(60):
        assert await following.stdout.readline() == b"2 needle \\e[2J\n"
        await site.print(run.id, b"4 tick", b"5 needle")
        assert await following.stdout.readline() == b"5 needle\n"
        await site.print(run.id, b"6 Needle")
        await runs.transition(
            site.db, run.id, RunState.RUNNING, RunState.ENDED, at=time.time(), outcome=Outcome.SUCCEEDED
        )
        site.supervisor.doorbell.ring(run.id)
        rest, said = await following.communicate()
    assert (rest, said) == (b"", b"")
    assert following.returncode == 0


async def test_a_bad_pattern_is_explained(site: Site) -> None:
    run = await site.seed(b"line")
    asked = await logs(site, str(run.id), "--grep", "(line")
    async with asyncio.timeout(60):
        _, said = await asked.communicate()
    assert asked.returncode == 2
    assert b"missing )" in said


async def answered(asked: asyncio.subprocess.Process) -> tuple[bytes, bytes]:
    async with asyncio.timeout(60):
        return await asked.communicate()


async def test_what_other_tools_take_for_the_end_of_a_line_is_none(site: Site) -> None:
    text = "one\u2028two\x85three\x0bfour\x1cfive\rsix\x00 \x1b]8;;http://x\x07seven \u202eeight".encode()
    run = await site.seed(text, b"\xff\xfe")

    said, _ = await answered(await logs(site, str(run.id)))
    assert said.count(b"\n") == 2
    assert said.isascii() or b"\xe2\x80\xa8" not in said
    for control in (b"\x1b", b"\x07", b"\x00", b"\r", b"\x0b", b"\x1c", b"\xc2\x85", "\u202e".encode()):
        assert control not in said
    raw, _ = await answered(await logs(site, str(run.id), "--raw"))
    assert raw == text + b"\n\xff\xfe\n"
    rows, _ = await answered(await logs(site, str(run.id), "--json"))
    assert rows.isascii()
    first, second = map(json.loads, rows.split(b"\n")[:-1])
    assert first["text"].encode() == text
    assert (second["number"], second["base64"]) == (2, "//4=")


async def test_two_forms_at_once_are_refused_and_each_is_explained(site: Site) -> None:
    asked = await logs(site, "1", "--raw", "--json")
    _, said = await answered(asked)
    assert asked.returncode == 2
    assert b"exclude each other" in said

    helped, _ = await answered(await logs(site, "--help"))
    assert all(option in helped for option in (b"--follow", b"--raw", b"--json", b"--since", b"--grep"))
    assert b"colours are taken out" in b" ".join(helped.split())


async def test_a_run_that_is_not_there_is_said_so(site: Site) -> None:
    asked = await logs(site, "99", "-f")
    _, said = await answered(asked)
    assert asked.returncode == 2
    assert b"there is no run 99" in said


class Way:
    """A way to the server that can be closed and opened again at the same address."""

    def __init__(self, site: Site) -> None:
        self._port = int(site.url.rpartition(":")[2])
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._open:
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        self._open |= {writer, back}
        with contextlib.suppress(OSError):
            await asyncio.gather(_copied(reader, back), _copied(there, writer))
        self._open -= {writer, back}
        for each in (writer, back):
            each.close()


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def test_what_is_not_followed_is_not_waited_for(site: Site) -> None:
    way = Way(site)
    await way.open()
    way.close()
    _, said = await answered(await logs(site, "1", server=f"http://127.0.0.1:{way.port}"))
    assert b"does not answer" in said
    assert b"waiting" not in said


async def test_a_followed_run_is_followed_over_a_server_that_goes_away_and_comes_back(site: Site) -> None:
    run = await site.seed(b"1 tick", b"2 tick")
    way = Way(site)
    await way.open()
    following = await logs(site, str(run.id), "-f", server=f"http://127.0.0.1:{way.port}")
    assert following.stdout is not None
    assert following.stderr is not None
    async with asyncio.timeout(60):
        assert await following.stdout.readline() == b"1 tick\n"
        assert await following.stdout.readline() == b"2 tick\n"
        way.close()
        assert b"went away" in await following.stderr.readline()
        await site.print(run.id, b"3 tick")
        await way.open()
        assert await following.stdout.readline() == b"3 tick\n"
        await site.print(run.id, b"4 tick")
        await runs.transition(
            site.db, run.id, RunState.RUNNING, RunState.ENDED, at=time.time(), outcome=Outcome.SUCCEEDED
        )
        site.supervisor.doorbell.ring(run.id)
        assert await following.communicate() == (b"4 tick\n", b"")
    assert following.returncode == 0
    way.close()


async def test_a_server_that_was_never_there_is_not_waited_for(site: Site) -> None:
    asked = await logs(site, "1", "-f", server="http://127.0.0.1:9")
    _, said = await answered(asked)
    assert asked.returncode == 2
    assert b"does not answer" in said
