"""Only our own pages may change something with a cookie."""

import pytest

from app.web.cross_site import from_our_pages, local_path


@pytest.mark.parametrize(
    ("method", "headers", "allowed"),
    [
        ("GET", {}, True),
        ("HEAD", {"sec-fetch-site": "cross-site"}, True),
        ("POST", {"sec-fetch-site": "same-origin"}, True),
        ("POST", {"sec-fetch-site": "none"}, True),
        ("POST", {"sec-fetch-site": "same-site"}, False),
        ("POST", {"sec-fetch-site": "cross-site"}, False),
        ("POST", {"sec-fetch-site": "cross-site", "origin": "http://here:8700", "host": "here:8700"}, False),
        ("POST", {"origin": "http://here:8700", "host": "here:8700"}, True),
        ("POST", {"origin": "https://Here:8700", "host": "here:8700"}, True),
        ("POST", {"origin": "http://evil:8700", "host": "here:8700"}, False),
        ("POST", {"origin": "http://here", "host": "here:8700"}, False),
        ("POST", {"origin": "null", "host": "here:8700"}, False),
        ("POST", {"origin": "file://", "host": ""}, False),
        ("POST", {"host": "here:8700"}, False),
        ("DELETE", {}, False),
    ],
)
def test_where_a_request_came_from(method: str, headers: dict[str, str], allowed: bool) -> None:
    assert from_our_pages(method, headers) is allowed


@pytest.mark.parametrize("path", ["/", "/runs/42?stop=asked", "/evaluations?before=3"])
def test_our_own_paths_may_be_gone_to(path: str) -> None:
    assert local_path(path) == path


@pytest.mark.parametrize(
    "path",
    ["", "runs", "//evil.example", "/\\evil.example", "https://evil.example", "/a\nb", "/é", "/" + "x" * 600, "\t//x"],
)
def test_nothing_else_may(path: str) -> None:
    assert local_path(path) is None
