from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest

from klad.botapi.auth import LINK_LIFE, SESSION_LIFE, Links, host_is_ours, origin_is_ours, session_digest
from tests.klad.botapi.serving import OWNER, TOKEN, Clock, serving


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("127.0.0.1:3000", True),
        ("localhost:3000", True),
        ("LOCALHOST:3000", True),
        ("[::1]:3000", True),
        ("127.0.0.1", False),
        ("127.0.0.1:3001", False),
        ("evil.example:3000", False),
        ("127.0.0.1.evil.example:3000", False),
        ("localhost.:3000", False),
        ("user@127.0.0.1:3000", False),
        ("127.0.0.1:3000\n", False),
        ("", False),
    ],
)
def test_only_loopback_with_the_served_port_is_our_host(host: str, ours: bool) -> None:
    assert host_is_ours(host, 3000) is ours


def test_the_default_port_may_be_left_out() -> None:
    assert host_is_ours("localhost", 80)


@pytest.mark.parametrize(
    "origin", ["null", "https://127.0.0.1:3000", "http://127.0.0.1:3001", "http://localhost:3000", ""]
)
def test_only_the_very_place_of_host_is_our_origin(origin: str) -> None:
    assert origin_is_ours("http://127.0.0.1:3000", "127.0.0.1:3000")
    assert not origin_is_ours(origin, "127.0.0.1:3000")


PATHS = [
    "/",
    "/login?code=x",
    "/static/app.js",
    "/api/chats",
    "/api/events",
    f"/bot{TOKEN}/getMe",
    "/botx",
    "/elsewhere",
]


@pytest.mark.parametrize("path", PATHS)
async def test_a_foreign_host_or_origin_is_refused_everywhere(tmp_path: Path, path: str) -> None:
    async with serving(tmp_path) as here:
        for headers in ({"Host": f"evil.example:{here.port}"}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
            async with here.client.get(here.base + path, headers=headers) as response:
                assert response.status == 403, (path, headers)
                assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_foreign_origin_can_not_write_even_with_the_cookie(tmp_path: Path) -> None:
    async with serving(tmp_path) as here:
        url = f"{here.base}/api/chats/{OWNER}/messages"
        async with here.client.post(url, json={"text": "x"}, headers={"Origin": "http://evil.example"}) as response:
            assert response.status == 403
        async with here.client.post(url, json={"text": "x"}, headers={"Origin": here.base}) as response:
            assert response.status == 201
        assert len(await here.call("getUpdates")) == 1


async def test_a_request_without_a_host_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as here:
        reader, writer = await asyncio.open_connection("127.0.0.1", here.port)
        writer.write(f"GET /bot{TOKEN}/getMe HTTP/1.0\r\n\r\n".encode())
        assert b" 403 " in await reader.readline()
        writer.close()


@pytest.mark.parametrize("path", ["/api/chats", f"/api/chats/{OWNER}/messages", "/api/events"])
async def test_without_the_cookie_the_chat_is_closed(tmp_path: Path, path: str) -> None:
    async with serving(tmp_path) as here:
        here.client.cookie_jar.clear()
        async with here.client.get(here.base + path) as response:
            assert response.status == 401
            assert "link" in (await response.json())["error"]
        here.client.cookie_jar.update_cookies({f"klad_{here.port}": "guessed"})
        async with here.client.get(here.base + path) as response:
            assert response.status == 401
        async with here.client.get(here.base) as response:
            assert response.status == 401
            assert "open the link" in await response.text()


async def test_the_link_works_once_and_sets_a_strict_cookie(tmp_path: Path) -> None:
    async with serving(tmp_path) as here:
        link = here.api.link(here.base + "/")
        here.client.cookie_jar.clear()
        async with here.client.head(link) as response:
            assert response.status == 405
            assert response.headers["X-Content-Type-Options"] == "nosniff"
        async with here.client.get(link, headers={"Sec-Purpose": "prefetch;prerender"}) as response:
            assert response.status == 503
        async with here.client.get(link, allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (303, "/")
            cookie = response.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert cookie.startswith(f"klad_{here.port}=")
        async with here.client.get(here.base) as response:
            assert response.status == 200
            assert "composer" in await response.text()
        async with here.client.get(link, allow_redirects=False) as response:
            assert response.status == 303, "whoever is in already is just let through"
        here.client.cookie_jar.clear()
        async with here.client.get(link, allow_redirects=False) as response:
            assert response.status == 403
            assert "Set-Cookie" not in response.headers


async def test_a_session_survives_a_restart_and_is_stored_as_a_hash(tmp_path: Path) -> None:
    clock = Clock()
    async with serving(tmp_path, clock) as here:
        [value] = [cookie.value for cookie in here.client.cookie_jar]
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert value.encode() not in stored
    assert session_digest(value).encode() in stored
    async with serving(tmp_path, clock) as here:
        here.client.cookie_jar.clear()
        here.client.cookie_jar.update_cookies({f"klad_{here.port}": value})
        await here.get("/api/chats")
        clock.now += SESSION_LIFE
        async with here.client.get(f"{here.base}/api/chats") as response:
            assert response.status == 401


def test_a_link_expires() -> None:
    clock = Clock()
    links = Links(clock)
    code = links.mint()
    clock.now += LINK_LIFE
    assert not links.redeem(code)


def test_several_links_may_be_open_and_each_works_once() -> None:
    links = Links(Clock())
    one, other = links.mint(), links.mint()
    assert links.redeem(other)
    assert not links.redeem("guessed")
    assert links.redeem(one)
    assert not links.redeem(one)


async def test_a_page_reached_from_another_site_asks_once_more_for_its_cookie(tmp_path: Path) -> None:
    async with serving(tmp_path) as here:
        here.client.cookie_jar.clear()
        async with here.client.get(here.base, headers={"Sec-Fetch-Site": "cross-site"}) as response:
            assert 'http-equiv="refresh"' in await response.text()


async def test_every_answer_carries_the_security_headers(tmp_path: Path) -> None:
    async with serving(tmp_path) as here:
        for path in ["/", "/static/app.css", "/static/nothing", "/api/chats", "/api/events", f"/bot{TOKEN}/getMe"]:
            async with here.client.get(here.base + path, timeout=aiohttp.ClientTimeout(total=5)) as response:
                policy = response.headers["Content-Security-Policy"]
                assert "default-src 'self'" in policy
                assert "frame-ancestors 'none'" in policy
                assert "unsafe" not in policy
                assert response.headers["X-Content-Type-Options"] == "nosniff"
                assert response.headers["Referrer-Policy"] == "no-referrer"
                assert response.headers["Cache-Control"] == "no-store"
