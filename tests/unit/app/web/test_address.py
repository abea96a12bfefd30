"""The sign-in link leads to where a browser finds the server."""

import pytest

from app.settings import Settings
from app.web.access import cookie_name
from app.web.sign_in import address


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (Settings(), "http://127.0.0.1:8700"),
        (Settings(host="0.0.0.0", port=80), "http://localhost:80"),
        (Settings(host="::1"), "http://[::1]:8700"),
        (Settings(host="::"), "http://localhost:8700"),
        (Settings(secure_cookies=True, allowed_hosts="crucible.example, localhost"), "https://crucible.example"),
    ],
)
def test_where_a_browser_finds_the_server(settings: Settings, expected: str) -> None:
    assert address(settings) == expected


def test_behind_https_the_cookie_is_bound_to_the_host() -> None:
    assert cookie_name(Settings(secure_cookies=True)) == "__Host-crucible"
    assert cookie_name(Settings()) == "crucible"
