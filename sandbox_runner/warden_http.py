"""The warden's door for pages: `POST /stop` over TCP, when the server gives no answer. Tiny, because anybody may knock.

One request a connection, of bounded size, in bounded time. Who has not said a valid token yet can be put out by the
next one: a crowd at the door never keeps a stop out. A page's request comes whole, in one packet.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

from sandbox_runner.stop_token import BadToken, Leave, read

log = logging.getLogger(__name__)

#: Bytes of a request's head and of its body.
HEAD, BODY = 8 * 1024, 8 * 1024
#: Seconds a connection may take to say its request; to be told what came of it.
PATIENCE, ANSWER_WITHIN = 3.0, 2.5
#: Connections that have not shown a token yet. One more, and the oldest of them is put out.
STRANGERS = 64
#: Seconds between tries to have the port: an older warden lets go of it soon. Those after which any other will do,
#: where any may be had.
AGAIN, LET_GO = 0.5, 10.0

Json = dict[str, Any]
Obey = Callable[[Json], Awaitable[Json]]


class _Refused(Exception):
    """Answered with this status and sentence."""

    def __init__(self, status: str, why: str) -> None:
        super().__init__(why)
        self.status, self.why = status, why


class PageDoor:
    """`obey` carries out an order; `key` is the server's, empty until it told it."""

    def __init__(self, obey: Obey, key: Callable[[], bytes]) -> None:
        self._obey = obey
        self._key = key
        self._strangers: dict[asyncio.StreamWriter, None] = {}

    async def listen(self, host: str, port: int, told: Callable[[int], None], *, before: int = 0) -> None:
        """For ever; `told` hears the port when it is had. Port -1: any that is free, rather the one it was `before`."""
        since = time.monotonic()
        while True:
            late = time.monotonic() - since > LET_GO
            wanted = port if port > 0 else 0 if late else before
            try:
                listening = _listening(host, wanted)
            except OSError as error:
                log.warning("the stop port %s:%d is not to be had: %s", host, wanted, error)
                await asyncio.sleep(AGAIN)
                continue
            async with await asyncio.start_server(self._serve, sock=listening, limit=HEAD) as server:
                told(listening.getsockname()[1])
                await server.serve_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._strangers[writer] = None
        if len(self._strangers) > STRANGERS:
            oldest = next(iter(self._strangers))
            del self._strangers[oldest]
            oldest.transport.abort()
        origin = ""
        try:
            try:
                async with asyncio.timeout(PATIENCE):
                    origin, said = await _request(reader)
                leave, order = self._checked(origin, said)
                self._strangers.pop(writer, None)
                status, answer = "200 OK", await self._done(leave, order)
            except _Refused as refused:
                status, answer = refused.status, {"ok": False, "error": refused.why}
            writer.write(_answer(status, answer, origin))
            async with asyncio.timeout(PATIENCE):
                await writer.drain()
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
            pass  # Whoever it was is gone or says nothing; what was ordered goes on.
        finally:
            self._strangers.pop(writer, None)
            writer.close()

    def _checked(self, origin: str, said: Json) -> tuple[Leave, Json]:
        token, what, number = said.get("token"), said.get("what"), said.get("number", 0)
        try:
            leave = read(self._key(), token if isinstance(token, str) else "", origin=origin, now=time.time())
        except BadToken as error:
            raise _Refused("403 Forbidden", str(error)) from None
        return leave, {"do": "stop", "what": what, "number": number, "actor": leave.who, "path": "page"}

    async def _done(self, leave: Leave, order: Json) -> Json:
        """What came of it, or that it goes on: the page waits no longer than this."""
        doing = asyncio.ensure_future(self._obey(order))
        done, _ = await asyncio.wait({doing}, timeout=ANSWER_WITHIN)
        if not done:
            return {"ok": True, "received": True, "proven": False, "ended": 0}
        told = doing.result()
        ended = [each for each in told.get("ended", ()) if "error" not in each]
        problem = str(told.get("error", ""))
        return {
            "ok": bool(told["ok"]) or not problem,
            "received": True,
            "proven": bool(told["ok"]),
            "ended": len(ended),
            "error": problem,
        }


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except OSError:
        listening.close()
        raise
    return listening


async def _request(reader: asyncio.StreamReader) -> tuple[str, Json]:
    """The Origin and the body of a `POST /stop`. Raises `_Refused` for anything else."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
    if first not in {"POST /stop HTTP/1.1", "POST /stop HTTP/1.0"}:
        raise _Refused("405 Method Not Allowed", "only POST /stop is heard here")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        name = name.lower()
        if not colon or not name or name != name.strip() or name in headers:
            raise _Refused("400 Bad Request", "its head is not one")
        headers[name] = value.strip()
    length = headers.get("content-length", "")
    if "transfer-encoding" in headers or not (length.isascii() and length.isdigit() and len(length) <= 5):
        raise _Refused("411 Length Required", "its length is not told")
    if int(length) > BODY:
        raise _Refused("413 Content Too Large", "it is too long")
    body = await reader.readexactly(int(length))
    with contextlib.suppress(ValueError, RecursionError):
        if isinstance(said := json.loads(body), dict):
            return headers.get("origin", ""), said
    raise _Refused("400 Bad Request", "its body is no JSON object")


def _answer(status: str, answer: Json, origin: str) -> bytes:
    """Readable by a page of ours alone: an origin is only echoed when a valid token names it."""
    body = json.dumps(answer).encode()
    allowed = f"access-control-allow-origin: {origin}\r\nvary: origin\r\n" if status.startswith("200") else ""
    head = (
        f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n{allowed}"
        "cache-control: no-store\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\r\n"
    )
    return head.encode("latin-1") + body
