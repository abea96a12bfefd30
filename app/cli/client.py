"""The API as the commands use it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator, Mapping
from types import TracebackType
from typing import Any, Self

import httpx

from app.cli.local_server import Address, find_server
from app.domain.errors import Refused, Unavailable
from app.settings import Settings
from app.web.stop_commands import kill_all_line

Json = dict[str, Any]
Lines = AsyncGenerator[bytes, None]


class Client:
    """Raises `Refused` with the server's own words, `Unavailable` when it does not answer."""

    def __init__(self, settings: Settings, address: Address) -> None:
        self._settings = settings
        self.address = address
        self.url = address.url
        self._http = httpx.AsyncClient(
            base_url=f"{address.url}/api/v1",
            headers={"Authorization": f"Bearer {address.token}"},
            timeout=httpx.Timeout(90.0, connect=3.0),
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def get(self, path: str, **query: str | int | list[str]) -> Json:
        return await self._ask("GET", path, params=query)

    async def post(self, path: str, body: Json | None = None) -> Json:
        return await self._ask("POST", path, json=body or {})

    async def answers(self) -> bool:
        try:
            await self.get("/health")
        except Unavailable:
            return False
        return True

    async def lines(self, run: int, **query: str | int | float) -> AsyncGenerator[Json, None]:
        """Stored lines of a run; `query`: after, limit, since, q, regex and so on, as the API takes them."""
        async with contextlib.aclosing(self._streamed(f"/runs/{run}/output", query, silence=90.0)) as lines:
            async for line in lines:
                yield json.loads(line)

    async def frames(self, run: int, *, after: int = 0) -> AsyncGenerator[tuple[str, Json], None]:
        """The run's live stream after line `after`: (event, data), until its `eof`."""
        query = {"after": f"0.{after}.0"}
        name = ""
        async with contextlib.aclosing(self._streamed(f"/runs/{run}/stream", query, silence=30.0)) as lines:
            async for line in lines:
                if line.startswith(b"event: "):
                    name = line.removeprefix(b"event: ").decode()
                elif line.startswith(b"data: "):
                    yield name, json.loads(line.removeprefix(b"data: "))
                    if name in {"eof", "bye"}:
                        return

    async def _streamed(self, path: str, query: Mapping[str, str | int | float], *, silence: float) -> Lines:
        """The lines of a long answer, ended by newlines only: what an agent printed has ends of its own in it."""
        rest = b""
        try:
            async with self._http.stream("GET", path, params=query, timeout=silence) as response:
                if not response.is_success:
                    await response.aread()
                    raise _refusal(response)
                async for piece in response.aiter_bytes():
                    *lines, rest = (rest + piece).split(b"\n")
                    for line in lines:
                        yield line
        except httpx.TransportError as error:
            raise self._silent(error) from None
        if rest:
            raise Unavailable(f"the server at {self.url} ended in the middle of its answer")

    async def _ask(self, method: str, path: str, **options: Any) -> Json:
        try:
            response = await self._http.request(method, path, **options)
        except httpx.TransportError as error:
            raise self._silent(error) from None
        if response.is_success:
            answer: Json = response.json()
            return answer
        raise _refusal(response)

    def _silent(self, error: httpx.TransportError) -> Unavailable:
        return Unavailable(
            f"the server at {self.url} does not answer: {str(error) or type(error).__name__}. "
            f"To end every sandbox without it: {kill_all_line(self._settings)}"
        )


def _refusal(response: httpx.Response) -> Refused:
    try:
        said = response.json()["error"]
        return Refused(said["what"], where=said.get("where", ""), todo=said.get("todo", ""))
    except (ValueError, KeyError, TypeError):
        return Refused(f"the server answered {response.status_code}")


def open_client(settings: Settings) -> Client:
    """A client of the running server. Raises `Unavailable` when none is known."""
    address = find_server(settings)
    if address is None:
        raise Unavailable(
            f"no Crucible server is running for the data folder {settings.data.absolute()}; "
            "start one with scripts/run, or name one with CRUCIBLE_SERVER and CRUCIBLE_TOKEN. "
            f"To end every sandbox without a server: {kill_all_line(settings)}"
        )
    return Client(settings, address)
