"""The endless answer of one reader: frames go to its connection as they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from app.web.live.wire import Wire

#: Proxies that gather an answer would hold frames back.
_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}
#: In a request's scope: the server's own `send`.
_SEND = "crucible.send"


class Streaming(Starlette):
    """An application whose endless answers reach the server directly, once their head went through all middleware.

    Nothing there looks at a frame, and with a thousand readers it was a tenth of the server's time.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[_SEND] = send
        await super().__call__(scope, receive, send)


class EventStream(StreamingResponse):
    """`text/event-stream`. Ends with its frames, or when the reader goes, or when the task that sends is cancelled.

    That task is the request's own, and one more waits for the reader to go: a thousand readers are two thousand tasks.
    What others send by `wire` comes between its frames. HEAD is answered without frames.
    """

    def __init__(self, frames: AsyncGenerator[bytes, None], wire: Wire) -> None:
        super().__init__(frames, media_type="text/event-stream", headers=_HEADERS)
        self._frames = frames
        self._wire = wire

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        sending = asyncio.current_task()
        assert sending is not None
        straight: Send = scope[_SEND]
        self._wire.connect(straight)
        going = asyncio.create_task(_cancel_when_gone(receive, sending))
        try:
            async for frame in self._frames:
                await straight({"type": "http.response.body", "body": frame, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except asyncio.CancelledError:
            sending.uncancel()  # The reader is gone or stuck, or the server ends: this answer ends, and that is all.
        finally:
            going.cancel()
            await self._frames.aclose()


async def _cancel_when_gone(receive: Receive, sending: asyncio.Task[None]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    sending.cancel()
