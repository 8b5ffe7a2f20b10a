"""What becomes of a request."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from duologue.datastructures import Headers
from duologue.frontends.websocketd.config import Config
from duologue.frontends.websocketd.deciding import (
    CgiScript,
    Console,
    Program,
    Refusal,
    StaticFile,
    confined,
    decide,
    find_script,
)
from duologue.frontends.websocketd.origins import read_origins
from duologue.frontends.websocketd.visit import Visit
from duologue.http11 import Request

HANDSHAKE = {
    "Host": "localhost:8080",
    "Upgrade": "websocket",
    "Connection": "keep-alive, Upgrade",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    "Sec-WebSocket-Version": "13",
}
CAT = Config(command=("/bin/cat",), strict=True)
SAFE = Config(command=("/bin/cat",))


def visit(target="/", method="GET", tls=False, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    fields = {**HANDSHAKE, **named}
    kept = Headers({name: value for name, value in fields.items() if value is not None})
    return Visit(Request(target, kept, method), tls, "127.0.0.1", "5000")


def plain(target="/", **headers):
    return visit(target, Upgrade=None, Connection=None, **headers)


def status(config, request, full=False):
    decision = decide(config, request, full)
    return decision.status if isinstance(decision, Refusal) else 101


class TestUpgrades:
    def test_a_program(self):
        assert decide(CAT, visit("/a%20b/c?d=e"), False) == Program(("/bin/cat",), "/", "/a b/c")

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"Sec_WebSocket_Version": "8"}, 400),
            ({"Sec_WebSocket_Version": None}, 400),
            ({"Sec_WebSocket_Key": None}, 400),
            ({"Sec_WebSocket_Key": "short"}, 400),
            ({"Upgrade": "WebSocket"}, 101),
            ({"Upgrade": "h2c"}, 404),
            ({"Connection": "close"}, 404),
            ({"method": "POST"}, 405),
        ],
    )
    def test_handshakes(self, change, code):
        assert status(CAT, visit(**change)) == code

    def test_refusals_say_the_version(self):
        refusal = decide(CAT, visit(Sec_WebSocket_Version="8"), False)
        assert refusal.body == "Bad Request\n500 Internal Error\n"
        assert refusal.headers == (("Sec-Websocket-Version", "13"),)

    def test_too_many(self):
        refusal = decide(CAT, visit(), True)
        assert (refusal.status, refusal.body) == (429, "429 Too Many Requests\n")

    def test_without_a_program_they_are_plain(self, tmp_path):
        config = Config(static_dir=str(tmp_path), strict=True)
        assert isinstance(decide(config, visit("/x"), False), StaticFile)

    @pytest.mark.parametrize(
        ("path", "cleaned"),
        [
            ("//", "/"),
            ("/a//b/", "/a/b/"),
            ("/./a", "/a"),
            ("/a/../b%20c", "/b%20c"),
            ("/a/..", "/"),
            ("/%2e%2E/a", "/a"),
        ],
    )
    def test_paths_are_cleaned(self, path, cleaned):
        refusal = decide(CAT, visit(path + "?q"), False)
        assert (refusal.status, dict(refusal.headers)["Location"]) == (301, cleaned + "?q")

    @pytest.mark.parametrize(
        "target", ["/%00", "/a%00b?c", "/%zz", "/a%", "/a%2", "*", "a.example:80", "http://[/"]
    )
    def test_targets_that_are_none(self, target):
        assert status(CAT, visit(target)) == 400
        assert status(Config(static_dir="/"), plain(target)) == 400

    def test_an_absolute_target_names_the_host(self):
        request = visit("http://u:p@b.example:81/a?q", Origin="http://b.example:81")
        assert (request.host, request.path, request.query) == ("b.example:81", "/a", "q")
        assert status(replace(CAT, same_origin=True), request) == 101
        assert status(SAFE, request) == 403

    def test_the_origin_is_judged_before_the_key(self):
        guarded = replace(CAT, same_origin=True)
        assert status(guarded, visit(Sec_WebSocket_Key=None, Origin="http://a.example")) == 403

    @pytest.mark.parametrize(("key", "why"), [(None, "is missing or blank"), ("x", "must be 16")])
    def test_what_the_log_says_of_a_key(self, key, why):
        (line,) = decide(CAT, visit(Sec_WebSocket_Key=key), False).why
        assert line.startswith("Unable to Upgrade: websocket: not a websocket handshake: 'Sec-W")
        assert why in line


class TestOrigins:
    @pytest.mark.parametrize(
        ("origin", "code"),
        [
            (None, 101),
            ("http://localhost:8080", 101),
            ("http://localhost", 403),
            ("http://evil.example:8080", 403),
            ("null", 403),
            ("file://", 403),
            ("nonsense", 403),
        ],
    )
    def test_by_default_our_own_pages_only(self, origin, code):
        assert status(SAFE, visit(Origin=origin)) == code

    @pytest.mark.parametrize(
        ("origin", "code"),
        [(None, 101), ("null", 101), ("http://evil.example", 101), ("nonsense", 403)],
    )
    def test_the_original_takes_any(self, origin, code):
        assert status(CAT, visit(Origin=origin)) == code

    @pytest.mark.parametrize(
        ("origin", "host", "tls", "code"),
        [
            ("http://a.example", "a.example", False, 101),
            ("http://a.example", "a.example:80", False, 101),
            ("http://A.example:80", "a.example", False, 101),
            ("https://a.example", "a.example", False, 403),
            ("https://a.example", "a.example", True, 101),
            ("http://a.example:81", "a.example:82", False, 403),
            ("http://b.example", "a.example", False, 403),
            (None, "a.example", False, 403),
        ],
    )
    def test_sameorigin(self, origin, host, tls, code):
        config = replace(CAT, same_origin=True)
        assert status(config, visit(Origin=origin, Host=host, tls=tls)) == code

    @pytest.mark.parametrize(
        ("listed", "origin", "code"),
        [
            ("a.example", "http://a.example", 101),
            ("a.example", "https://a.example:8443", 101),
            ("a.example:81", "http://a.example:81", 101),
            ("a.example:81", "http://a.example:82", 403),
            ("https://a.example", "http://a.example", 403),
            ("https://a.example", "https://a.example", 101),
            ("b.example,a.example", "http://a.example", 101),
            ("*.example", "http://a.example", 403),
            ("a.example", None, 403),
            ("a.example", "null", 403),
        ],
    )
    def test_a_list(self, listed, origin, code):
        config = replace(CAT, origins=read_origins(listed))
        assert status(config, visit(Origin=origin)) == code

    def test_both_must_pass(self):
        config = replace(CAT, origins=read_origins("a.example,localhost"), same_origin=True)
        assert status(config, visit(Origin="http://a.example")) == 403
        assert status(config, visit(Origin="http://localhost:8080")) == 101

    def test_what_is_answered(self):
        refusal = decide(SAFE, visit(Origin="http://evil.example"), False)
        assert refusal.body == "Forbidden\n500 Internal Error\n"
        assert refusal.why[0] == "Same origin policy mismatch"

    @pytest.mark.parametrize(
        ("host", "code"),
        [
            ("localhost:8080", 101),
            ("127.0.0.1:8080", 101),
            ("[::1]:8080", 101),
            ("a.localhost", 101),
            ("rebound.example:8080", 403),
            (None, 403),
        ],
    )
    def test_names_of_others_lead_nowhere(self, host, code):
        assert status(SAFE, visit(Host=host)) == code
        assert status(SAFE, plain(Host=host)) == (code if code == 403 else 404)


class TestDirectories:
    @pytest.fixture
    def root(self, tmp_path):
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "tool").write_text("")
        (tmp_path / "outside").write_text("")
        root = tmp_path / "a"
        (root / "deep").mkdir()
        (root / "deep" / "er").write_text("")
        (root / "link").symlink_to(tmp_path / "outside")
        return str(root)

    @pytest.mark.parametrize(
        ("path", "name", "info"),
        [
            ("/tool", "/tool", ""),
            ("/tool/", "/tool", "/"),
            ("/tool/x/y", "/tool", "/x/y"),
            ("/deep/er/z", "/deep/er", "/z"),
        ],
    )
    def test_found(self, root, path, name, info):
        found = find_script(root, path)
        assert found == Program((os.path.join(root, name[1:]),), name, info)

    @pytest.mark.parametrize("path", ["/", "/deep", "/deep/", "/none", "/link", "/../outside"])
    def test_not_found(self, root, path):
        assert find_script(root, path) is None

    @pytest.mark.parametrize(
        ("fields", "code"),
        [
            ({}, 101),
            ({"Origin": "http://localhost:8080"}, 101),
            ({"Origin": "http://evil.example"}, 403),
            ({"Origin": "null"}, 403),
            ({"Sec_Fetch_Site": "same-origin", "Sec_Fetch_Mode": "cors"}, 101),
            ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"}, 403),
            ({"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "cors"}, 403),
            ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}, 101),
        ],
    )
    def test_other_sites_run_no_cgi_scripts(self, root, fields, code):
        config, request = Config(cgi_dir=root), plain("/tool", **fields)
        assert status(config, request) == code
        assert status(replace(config, strict=True), request) == 101
        assert status(Config(static_dir=root), request) == 101

    def test_origins_hold_for_cgi_scripts(self, root):
        config = Config(
            cgi_dir=root, origins=read_origins("http://a.example"), given=frozenset({"origin"})
        )
        assert status(config, plain("/tool", Origin="http://a.example")) == 101
        assert status(config, plain("/tool", Origin="http://b.example")) == 403

    def test_the_original_follows_links(self, root):
        assert find_script(root, "/link", anywhere=True) is not None

    def test_an_upgrade_without_script(self, root):
        config = Config(script_dir=root, strict=True)
        refusal = decide(config, visit("/none"), False)
        assert (refusal.status, refusal.body) == (404, "404 Not Found\n")

    def test_encoded_dots_stay_inside(self, root):
        config = Config(static_dir=root, strict=True)
        assert status(config, plain("/%2e%2e/outside")) == 301
        assert confined(root, "/../a/tool") is None

    def test_order(self, root):
        config = Config(command=("/bin/cat",), static_dir=root, cgi_dir=root, strict=True)
        assert decide(config, plain("/tool"), False) == CgiScript(os.path.join(root, "tool"))
        assert isinstance(decide(config, plain("/tool/x"), False), StaticFile)
        assert isinstance(decide(config, plain("/deep"), False), StaticFile)
        assert status(config, plain("/tool"), full=True) == 429
        console = Config(command=("/bin/cat",), dev_console=True, strict=True)
        assert isinstance(decide(console, plain("/tool"), False), Console)
        assert status(CAT, plain("/tool")) == 404
