"""Headers on every answer. Pure ASGI: nothing is buffered, a disconnect stays a disconnect."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_POLICY = (
    "default-src 'none'; script-src 'self'{nonce}; style-src 'self'; img-src 'self' data:; connect-src 'self'{stop}; "
    "worker-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types htmx crucible"
)


def content_policy(nonce: str = "", stop: str = "") -> str:
    """What a page may load and do. The nonce is for hx-csp, which strips hx-* from elements without it.

    `stop` is the origin of the warden's door, the one other address a page may send to.
    """
    return _POLICY.format(nonce=f" 'nonce-{nonce}'" if nonce else "", stop=f" {stop}" if stop else "")


_ALWAYS = {
    "content-security-policy": content_policy(),
    "x-content-type-options": "nosniff",
    # Not "no-referrer": with it browsers send `Origin: null` with forms, and over plain HTTP nothing else says where
    # a form came from. Other sites learn nothing from this one either.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}


class SecurityHeaders:
    """Puts the strict headers on; an answer that sets one itself keeps its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _ALWAYS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)
