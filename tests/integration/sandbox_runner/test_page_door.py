"""The warden's door for pages over a real port: a stop with a token of the server, and everything else there is."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from sandbox_runner import warden_http
from sandbox_runner.stop_token import Leave, signed
from sandbox_runner.warden_http import BODY, HEAD, STRANGERS, PageDoor

KEY = b"k" * 32
ORIGIN = "http://localhost:8700"
LEAVE = Leave(who="ada", session="abc", origin=ORIGIN, until=time.time() + 3600)


@dataclass
class Door:
    port: int = 0
    orders: list[dict[str, Any]] = field(default_factory=list)
    hold: asyncio.Event = field(default_factory=asyncio.Event)

    async def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        self.orders.append(order)
        await self.hold.wait()
        return {"ok": True, "ended": [{"id": "a", "run": "1"}], "error": ""}

    async def say(self, data: bytes, *, end: bool = False) -> bytes:
        """All that is answered until the door closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        if end:
            writer.write_eof()
        try:
            async with asyncio.timeout(20):
                return await reader.read()
        finally:
            writer.close()

    async def post(self, token: str, *, origin: str = ORIGIN, what: object = "run", number: object = 1) -> bytes:
        return await self.say(request(json.dumps({"token": token, "what": what, "number": number}), origin=origin))


def request(body: str, *, origin: str = ORIGIN, first: str = "POST /stop HTTP/1.1", more: str = "") -> bytes:
    length = len(body.encode())
    return f"{first}\r\nHost: localhost\r\nOrigin: {origin}\r\nContent-Length: {length}\r\n{more}\r\n{body}".encode()


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    door, open_now = Door(), asyncio.Event()
    door.hold.set()

    def told(port: int) -> None:
        door.port = port
        open_now.set()

    page_door = PageDoor(door.obey, lambda: KEY)
    listening = asyncio.create_task(page_door.listen("127.0.0.1", -1, told))
    await open_now.wait()
    yield door
    listening.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await listening


async def test_the_port_of_before_is_taken_again_and_another_only_where_it_is_not_to_be_had(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ports: asyncio.Queue[int] = asyncio.Queue()

    @contextlib.asynccontextmanager
    async def listening(before: int) -> AsyncIterator[int]:
        door = PageDoor(Door().obey, lambda: KEY)
        task = asyncio.create_task(door.listen("127.0.0.1", -1, ports.put_nowait, before=before))
        try:
            async with asyncio.timeout(20):
                yield await ports.get()
        finally:
            task.cancel()
            await asyncio.wait({task})

    async with listening(0) as first:
        pass
    async with listening(first) as again:
        assert again == first
        monkeypatch.setattr(warden_http, "LET_GO", 0.0)
        monkeypatch.setattr(warden_http, "AGAIN", 0.01)
        async with listening(first) as other:
            assert other != first, "somebody else has it"


async def test_a_stop_with_a_token_of_the_server_is_carried_out_and_told_to_its_page_alone(door: Door) -> None:
    head, _, body = (await door.post(signed(KEY, LEAVE))).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 200 ")
    assert f"access-control-allow-origin: {ORIGIN}\r\n".encode() in head + b"\r\n"
    assert json.loads(body) == {"ok": True, "received": True, "proven": True, "ended": 1, "error": ""}
    assert door.orders == [{"do": "stop", "what": "run", "number": 1, "actor": "ada", "path": "page"}]


@pytest.mark.parametrize(
    ("token", "origin", "why"),
    [
        ("", ORIGIN, b"not a token"),
        ("x" * 5000, ORIGIN, b"not a token"),
        (signed(b"another", LEAVE), ORIGIN, b"not a token"),
        (signed(KEY, LEAVE)[:-1], ORIGIN, b"not a token"),
        (signed(KEY, dataclasses.replace(LEAVE, until=time.time() - 1)), ORIGIN, b"session is over"),
        (signed(KEY, LEAVE), "http://evil.example", b"another origin"),
        (signed(KEY, LEAVE), "null", b"another origin"),
        (signed(KEY, LEAVE), "", b"another origin"),
    ],
)
async def test_a_token_that_is_not_this_servers_or_pages_stops_nothing(
    door: Door, token: str, origin: str, why: bytes
) -> None:
    answer = await door.post(token, origin=origin)

    assert answer.startswith(b"HTTP/1.1 403 ")
    assert why in answer
    assert b"access-control-allow-origin" not in answer
    assert door.orders == []


async def test_a_door_without_a_key_hears_nobody(door: Door) -> None:
    with pytest.raises(Exception, match="not a token"):
        warden_http.read(b"", signed(b"", LEAVE), origin=ORIGIN, now=0)


GOOD = json.dumps({"token": signed(KEY, LEAVE), "what": "all"})


@pytest.mark.parametrize(
    "said",
    [
        request(GOOD, first="GET /stop HTTP/1.1"),
        request(GOOD, first="OPTIONS /stop HTTP/1.1"),
        request(GOOD, first="POST /stop-all HTTP/1.1"),
        request(GOOD, more="Transfer-Encoding: chunked\r\n"),
        request(GOOD, more="Content-Length: 1\r\n"),
        request(GOOD, more="Origin: http://evil.example\r\n"),
        request(GOOD, more="no colon\r\n"),
        request("[]"),
        request("[" * 7000),
        request("{"),
        request(json.dumps({"token": [1], "what": "all"})),
        b"POST /stop HTTP/1.1\r\nContent-Length: 99999\r\n\r\n",
        b"POST /stop HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        f"POST /stop HTTP/1.1\r\nContent-Length: {BODY + 1}\r\n\r\n".encode(),
        b"POST /stop HTTP/1.1\r\nA: " + b"a" * HEAD + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
    ],
)
async def test_what_is_no_stop_is_refused_or_cut_off_and_changes_nothing(door: Door, said: bytes) -> None:
    answer = await door.say(said, end=True)

    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
    assert door.orders == []
    assert (await door.post(signed(KEY, LEAVE))).startswith(b"HTTP/1.1 200 ")


async def test_a_crowd_that_says_nothing_keeps_no_stop_out(door: Door) -> None:
    crowd = [await asyncio.open_connection("127.0.0.1", door.port) for _ in range(3 * STRANGERS)]
    for _, writer in crowd:
        writer.write(b"POST /stop HTTP/1.1\r\n")

    assert (await door.post(signed(KEY, LEAVE))).startswith(b"HTTP/1.1 200 ")

    ended = [reader for reader, _ in crowd if await over(reader)]
    assert len(ended) == len(crowd), "none of them stays"
    for _, writer in crowd:
        writer.close()


async def over(reader: asyncio.StreamReader) -> bool:
    async with asyncio.timeout(10):
        try:
            return await reader.read() == b""
        except ConnectionResetError:
            return True


async def test_a_page_is_told_when_the_end_is_not_proven_yet(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warden_http, "ANSWER_WITHIN", 0.05)
    door.hold.clear()

    answer = json.loads((await door.post(signed(KEY, LEAVE))).partition(b"\r\n\r\n")[2])

    assert answer["received"]
    assert not answer["proven"]
    door.hold.set()
