"""Strangers see the sign-in page and nothing else; what changes something has to come from our own pages."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import time

import httpx
import pytest
from starlette.routing import Mount, Route

from app.domain.runs import RunState
from app.settings import Settings
from app.store import accounts, audit, runs
from app.web.routes import TABLE
from app.web.sign_in import create_sign_in_link, needs_first_sign_in
from sandbox_runner.fake_driver import FakeDriver
from tests.web.conftest import SAME_ORIGIN, Site, serving

PASSWORD = "a sentence is good"
OPEN = {"/sign-in", "/welcome/{secret}", "/healthz"}
ROUTES = [(route.path, method) for route in TABLE if isinstance(route, Route) for method in sorted(route.methods or ())]


def filled(path: str) -> str:
    return re.sub(r"\{[^}]+\}", "1", path)


async def test_the_table_has_no_other_kind_of_way_in() -> None:
    assert [route.path for route in TABLE if isinstance(route, Mount)] == ["/static"]
    assert all(isinstance(route, Route | Mount) for route in TABLE)


@pytest.mark.parametrize("cookie", ["", "crucible=" + "x" * 43])
async def test_a_stranger_is_turned_away_from_every_route(site: Site, cookie: str) -> None:
    run = await site.seed(b"a secret line")
    headers = {**SAME_ORIGIN, **({"cookie": cookie} if cookie else {})}
    for path, method in ROUTES:
        if path in OPEN:
            continue
        answer = await site.stranger.request(method, filled(path), headers=headers)
        if path == "/stream" or path.startswith("/api/"):
            assert answer.status_code == 401, (method, path)
            assert "location" not in answer.headers
        else:
            assert answer.status_code == 303, (method, path)
            assert answer.headers["location"].startswith("/sign-in"), (method, path)
        assert "secret line" not in answer.text
    assert (await runs.get(site.db, run.id)).state is RunState.RUNNING


async def test_a_stranger_is_not_told_which_addresses_there_are(site: Site) -> None:
    nothing = await site.stranger.get("/nothing/here")
    wrong_method = await site.stranger.get("/stop-all")
    assert (nothing.status_code, wrong_method.status_code) == (303, 303)
    assert (await site.stranger.get("/api/v1/nothing")).status_code == 401
    assert (await site.browser.get("/nothing/here")).status_code == 404
    assert (await site.browser.get("/stop-all")).status_code == 405


async def test_what_strangers_may_see_answers_them(site: Site) -> None:
    assert (await site.stranger.get("/healthz")).text == "ok\n"
    page = await site.stranger.get("/sign-in")
    assert page.status_code == 200
    assert 'action="/sign-in"' in page.text
    assert "STOP ALL" not in page.text
    static = await site.stranger.get("/static/vendor/manifest.json")
    assert static.status_code == 200
    assert (await site.stranger.get("/static/nothing.js")).status_code == 404
    assert (await site.stranger.get("/static/../app/main.py")).status_code in (303, 404)
    assert (await site.stranger.get("/static/%2e%2e/app/main.py")).status_code in (303, 404)


async def test_the_one_time_link_sets_the_password_and_works_once(site: Site, settings: Settings) -> None:
    assert await needs_first_sign_in(site.db)
    link = await create_sign_in_link(site.db, settings)
    assert link.startswith("http://127.0.0.1:8700/welcome/")
    path = link.removeprefix("http://127.0.0.1:8700")
    for _ in range(2):  # Looking does not use it up.
        assert 'name="password"' in (await site.stranger.get(path)).text
    short = await site.stranger.post(path, data={"password": "short", "again": "short"}, headers=SAME_ORIGIN)
    assert short.status_code == 400
    assert "Use at least 12" in short.text
    done = await site.stranger.post(path, data={"password": PASSWORD, "again": PASSWORD}, headers=SAME_ORIGIN)
    assert (done.status_code, done.headers["location"]) == (303, "/")
    assert (await site.stranger.get("/")).status_code == 200
    assert not await needs_first_sign_in(site.db)
    again = await site.stranger.post(path, data={"password": PASSWORD, "again": PASSWORD}, headers=SAME_ORIGIN)
    assert again.status_code == 400
    assert (await site.stranger.get(path)).status_code == 404
    assert (await site.browser.get("/")).status_code == 303, "setting the password ends every other session"


async def test_of_two_who_use_the_link_at_once_one_is_let_in(site: Site, settings: Settings) -> None:
    path = (await create_sign_in_link(site.db, settings)).removeprefix("http://127.0.0.1:8700")
    data = {"password": PASSWORD, "again": PASSWORD}
    answers = await asyncio.gather(*(site.stranger.post(path, data=data, headers=SAME_ORIGIN) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [303, 400, 400, 400]


async def test_an_expired_or_unknown_link_does_nothing(site: Site) -> None:
    user = await accounts.administrator(site.db)
    await accounts.create_link(site.db, user.id, "old" * 14, expires_at=time.time() - 1)
    for secret in ("old" * 14, "unknown", "%ff", "x" * 4000):
        data = {"password": PASSWORD, "again": PASSWORD}
        answer = await site.stranger.post(f"/welcome/{secret}", data=data, headers=SAME_ORIGIN)
        assert answer.status_code == 400
    assert (await accounts.administrator(site.db)).password_hash is None


async def set_password(site: Site, settings: Settings) -> None:
    link = await create_sign_in_link(site.db, settings)
    async with httpx.AsyncClient(base_url=site.url) as someone:
        path = link.removeprefix("http://127.0.0.1:8700")
        await someone.post(path, data={"password": PASSWORD, "again": PASSWORD}, headers=SAME_ORIGIN)


async def sign_in(site: Site, password: str, **data: str) -> httpx.Response:
    form = {"name": "admin", "password": password, **data}
    return await site.stranger.post("/sign-in", data=form, headers=SAME_ORIGIN)


async def test_signing_in_gives_a_new_secret_each_time_and_signing_out_ends_it(site: Site, settings: Settings) -> None:
    await set_password(site, settings)
    first = await sign_in(site, PASSWORD)
    assert first.status_code == 303
    cookie = first.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Path=/" in cookie
    old = site.stranger.cookies["crucible"]
    await sign_in(site, PASSWORD)
    new = site.stranger.cookies["crucible"]
    assert new != old
    assert len(new) == 43
    assert await accounts.session(site.db, old, now=time.time()) is None, "the old session of this browser ended"
    session = await accounts.session(site.db, new, now=time.time())
    assert session is not None
    out = await site.stranger.post("/sign-out", data={"csrf": session.csrf}, headers=SAME_ORIGIN)
    assert out.headers["location"].startswith("/sign-in")
    assert await accounts.session(site.db, new, now=time.time()) is None
    actions = [entry.action for entry in await audit.read(site.db)]
    assert actions[:3] == ["session.close", "session.open", "session.open"]


async def test_wrong_passwords_are_refused_alike_then_slowed_down(site: Site, settings: Settings) -> None:
    await set_password(site, settings)
    wrong = await sign_in(site, "wrong password")
    unknown = await sign_in(site, PASSWORD, name="root")
    assert wrong.status_code == unknown.status_code == 403
    assert "name or password is wrong" in wrong.text
    assert wrong.text.count("crucible sign-in-link") == 1
    assert "name or password is wrong" in unknown.text
    for _ in range(5):
        last = await sign_in(site, "wrong password")
    assert last.status_code == 429
    assert int(last.headers["retry-after"]) >= 0
    assert (await sign_in(site, PASSWORD)).status_code == 429, "the right one has to wait too"


async def test_signing_in_leads_back_but_never_elsewhere(site: Site, settings: Settings) -> None:
    await set_password(site, settings)
    asked = await site.stranger.get("/evaluations?before=7")
    assert asked.headers["location"] == "/sign-in?next=%2Fevaluations%3Fbefore%3D7"
    assert 'value="/evaluations?before=7"' in (await site.stranger.get(asked.headers["location"])).text
    there = await sign_in(site, PASSWORD, next="/evaluations?before=7")
    assert there.headers["location"] == "/evaluations?before=7"
    away = await sign_in(site, PASSWORD, next="//evil.example/")
    assert away.headers["location"] == "/"


async def test_another_site_cannot_sign_a_browser_in(site: Site, settings: Settings) -> None:
    await set_password(site, settings)
    headers = {"sec-fetch-site": "cross-site"}
    answer = await site.stranger.post("/sign-in", data={"name": "admin", "password": PASSWORD}, headers=headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "headers",
    [{}, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"origin": "http://evil.example"}],
    ids=["neither header", "cross-site", "same-site", "other origin"],
)
async def test_another_site_cannot_use_the_session(site: Site, headers: dict[str, str]) -> None:
    run = await site.seed()
    answer = await site.browser.post(f"/runs/{run.id}/stop", data={"csrf": site.csrf}, headers=headers)
    assert answer.status_code == 403
    assert "did not come from a page of this server" in answer.text
    api = await site.browser.post(
        f"/api/v1/runs/{run.id}/stop", json={}, headers={**headers, "x-csrf-token": site.csrf}
    )
    assert api.status_code == 403
    events = await site.browser.get(f"/api/v1/runs/{run.id}/events")
    assert "StopRequested" not in events.text


async def test_over_plain_http_the_origin_is_enough(site: Site) -> None:
    run = await site.seed(state=RunState.ENDED)
    answer = await site.browser.post(f"/runs/{run.id}/stop", data={"csrf": site.csrf}, headers={"origin": site.url})
    assert answer.status_code == 303


@pytest.mark.parametrize("csrf", ["", "x" * 43])
async def test_a_form_without_the_sessions_token_is_refused(site: Site, csrf: str) -> None:
    run = await site.seed()
    answer = await site.browser.post(f"/runs/{run.id}/thaw", data={"csrf": csrf}, headers=SAME_ORIGIN)
    assert answer.status_code == 403
    assert "earlier session" in answer.text
    api = await site.browser.post("/api/v1/stop-all", json={}, headers=SAME_ORIGIN)
    assert api.status_code == 403


async def test_a_stop_with_an_expired_session_leads_to_sign_in_and_back_to_a_page_that_asks_again(
    site: Site, settings: Settings
) -> None:
    await set_password(site, settings)
    run = await site.seed(b"still going")
    form = {"csrf": "from a session long gone", "kind": "stop"}
    answer = await site.stranger.post(f"/runs/{run.id}/stop", data=form, headers=SAME_ORIGIN)
    assert answer.status_code == 303
    page = await site.stranger.get(answer.headers["location"])
    assert f"crucible stop {run.id}" in page.text, "the other way to stop is shown meanwhile"
    back = await sign_in(site, PASSWORD, next=f"/runs/{run.id}?stop=asked")
    assert back.headers["location"] == f"/runs/{run.id}?stop=asked"
    again = await site.stranger.get(back.headers["location"])
    assert again.status_code == 200
    assert (await runs.get(site.db, run.id)).state is RunState.RUNNING, "nothing is stopped by coming back"
    plain = await site.stranger.get(f"/runs/{run.id}")
    assert len(again.text) > len(plain.text) + 100, "the page asks for the stop again"


async def test_a_stop_from_a_page_of_an_earlier_session_asks_again_too(site: Site) -> None:
    run = await site.seed()
    answer = await site.browser.post(f"/runs/{run.id}/stop", data={"csrf": "old"}, headers=SAME_ORIGIN)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/runs/{run.id}?stop=asked")


async def test_a_fetch_with_an_expired_session_gets_401_and_no_page(site: Site) -> None:
    headers = {**SAME_ORIGIN, "accept": "application/json"}
    answer = await site.stranger.post("/runs/1/stop", headers=headers)
    assert answer.status_code == 401
    assert answer.json()["error"]["what"] == "you are not signed in"
    fragment = await site.stranger.post("/runs/1/stop", headers={**SAME_ORIGIN, "hx-request": "true"})
    assert fragment.status_code == 401
    assert fragment.headers["hx-redirect"] == "/sign-in?next=%2Fruns%2F1%3Fstop%3Dasked"


async def test_an_api_token_works_until_it_is_revoked_and_is_shown_once(site: Site) -> None:
    made = await site.post("/account/tokens", name="a script", days="1")
    (token,) = set(re.findall(r"crc_1_[A-Za-z0-9_-]{43}", made.text))
    assert token not in (await site.browser.get("/account")).text
    bearer = {"authorization": f"Bearer {token}"}
    assert (await site.stranger.get("/api/v1/runs", headers=bearer)).status_code == 200
    stop = await site.stranger.post("/api/v1/stop-all", headers=bearer)  # No cookie: no cross-site check is needed.
    assert stop.status_code == 200
    assert (await site.stranger.get("/", headers=bearer)).status_code == 303, "pages are for sessions"
    wrong = {"authorization": f"Bearer {token[:-1]}{'A' if token[-1] != 'A' else 'B'}"}
    assert (await site.stranger.get("/api/v1/runs", headers=wrong)).status_code == 401
    assert (await site.browser.get("/api/v1/runs", headers=wrong)).status_code == 401, "a cookie beside does not count"
    revoked = await site.post("/account/tokens/1/revoke")
    assert revoked.status_code == 303
    assert (await site.stranger.get("/api/v1/runs", headers=bearer)).status_code == 401
    assert (await site.post("/account/tokens/1/revoke")).status_code == 404


async def test_an_expired_token_does_not_work(site: Site) -> None:
    user = await accounts.administrator(site.db)
    token = await accounts.create_token(site.db, user.id, "t" * 43, "old", at=1.0, expires_at=time.time() - 1)
    headers = {"authorization": f"Bearer crc_{token.id}_{'t' * 43}"}
    assert (await site.stranger.get("/api/v1/runs", headers=headers)).status_code == 401


async def test_the_password_changes_only_with_the_present_one(site: Site, settings: Settings) -> None:
    await set_password(site, settings)  # Ends the browser's session.
    await sign_in(site, PASSWORD)
    session = await accounts.session(site.db, site.stranger.cookies["crucible"], now=time.time())
    assert session is not None
    form = {"csrf": session.csrf, "password": "another good sentence", "again": "another good sentence"}
    wrong = await site.stranger.post("/account/password", data={**form, "current": "wrong"}, headers=SAME_ORIGIN)
    assert wrong.status_code == 400
    assert "present password is wrong" in wrong.text
    right = await site.stranger.post("/account/password", data={**form, "current": PASSWORD}, headers=SAME_ORIGIN)
    assert right.status_code == 303
    assert (await site.stranger.get("/account")).status_code == 200, "this session goes on"
    assert (await sign_in(site, "another good sentence")).status_code == 303


async def test_a_host_that_is_not_ours_is_refused(site: Site) -> None:
    assert (await site.browser.get("/", headers={"host": "evil.example"})).status_code == 400
    assert (await site.stranger.get("/sign-in", headers={"host": "localhost:8700"})).status_code == 200
    assert (await site.stranger.get("/sign-in", headers={"host": "[::1]:8700"})).status_code == 200


async def test_a_large_body_is_refused(site: Site) -> None:
    answer = await site.post("/evaluations", suite="x" * 300_000)
    assert answer.status_code == 413
    files = {"csrf": ("a.txt", b"x")}
    upload = await site.browser.post("/evaluations", files=files, headers=SAME_ORIGIN)
    assert upload.status_code in (400, 403)


async def test_behind_https_the_cookie_is_secure_and_bound_to_the_host(settings: Settings, driver: FakeDriver) -> None:
    secure = dataclasses.replace(settings, secure_cookies=True)
    async with serving(secure, driver) as (server, url), httpx.AsyncClient(base_url=url) as client:
        link = await create_sign_in_link(server.lifespan.state["db"], secure)
        path = link.removeprefix("https://localhost")
        answer = await client.post(path, data={"password": PASSWORD, "again": PASSWORD}, headers=SAME_ORIGIN)
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-crucible=")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=lax"} <= {part.strip() for part in cookie.split(";")}
    assert "Domain" not in cookie


async def test_the_health_check_on_this_machine_answers_whatever_the_public_name_is(
    settings: Settings, driver: FakeDriver
) -> None:
    public = dataclasses.replace(settings, allowed_hosts="crucible.example")
    async with serving(public, driver) as (_, url), httpx.AsyncClient(base_url=url) as client:
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/healthz", headers={"Host": "crucible.example"})).status_code == 200
        assert (await client.get("/healthz", headers={"Host": "evil.example"})).status_code == 400


@pytest.mark.parametrize(
    "charset", ["undefined", "punycode", "unicode_escape", "raw_unicode_escape", "utf-7", "utf-16"]
)
async def test_a_form_in_a_strange_alphabet_is_no_mistake_of_ours(site: Site, charset: str) -> None:
    parts = {"name": b"\\ud800", "password": b"\\ud800 and more", "csrf": b"\\ud800", "text": b"\xff\\ud800"}
    body = b"".join(
        b'--B\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name.encode(), value)
        for name, value in parts.items()
    )
    headers = {**SAME_ORIGIN, "content-type": f"multipart/form-data; boundary=B; charset={charset}"}
    for path in ("/sign-in", "/runs/1/stop", "/welcome/x"):
        for client in (site.stranger, site.browser):
            assert (await client.post(path, content=body + b"--B--\r\n", headers=headers)).status_code < 500, path


async def test_a_token_that_is_none_does_not_let_the_cookie_beside_it_stop(site: Site) -> None:
    assert (await site.browser.get("/")).status_code == 200  # It is remembered now.
    headers = {"authorization": "Bearer none", "x-csrf-token": site.csrf}
    assert (await site.browser.post("/api/v1/stop-all", json={}, headers=headers)).status_code == 401


async def test_who_leaves_in_mid_sentence_is_no_mistake_in_the_log(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", int(site.url.rsplit(":", 1)[1]))
    head = "POST /sign-in HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: same-origin\r\nContent-Length: 9000\r\n"
    writer.write(f"{head}Content-Type: application/x-www-form-urlencoded\r\n\r\nname=a".encode())
    await writer.drain()
    await asyncio.sleep(0.1)  # Its beginning is being read.
    writer.close()
    await writer.wait_closed()
    await asyncio.sleep(0.1)
    assert (await site.stranger.get("/healthz")).status_code == 200
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
