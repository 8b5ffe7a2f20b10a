"""What a browser sees that opens no WebSocket: files, CGI scripts, the console, refusals."""

from __future__ import annotations

import os

import pytest

from duologue.frontends.websocketd import cgi

MODIFIED = 1_700_000_000
DATE = "Tue, 14 Nov 2023 22:13:20 GMT"


@pytest.fixture
def site(tmp_path):
    """A directory with files and scripts."""
    (tmp_path / "page.html").write_text("<p>page")
    (tmp_path / "data.bin").write_bytes(bytes(range(100)))
    os.utime(tmp_path / "data.bin", (MODIFIED, MODIFIED))
    (tmp_path / "list").mkdir()
    (tmp_path / "list" / "a b&c").write_text("x")
    (tmp_path / "list" / "sub").mkdir()
    (tmp_path / "start").mkdir()
    (tmp_path / "start" / "index.html").write_text("<p>start")
    (tmp_path / "away").symlink_to("/etc")
    return tmp_path


class TestStatic:
    async def test_over_http(self, running, site):
        async with running(f"--staticdir={site}", "cat") as server:
            status, headers, body = await server.get("/page.html")
            assert (status, body) == (200, b"<p>page")
            assert headers["content-type"] == "text/html; charset=utf-8"
            assert (await server.get("/none"))[::2] == (404, b"404 page not found\n")
            assert (await server.get("/away/passwd"))[0] == 404
            assert (await server.get("/%2e%2e/x"))[0] == 301
            status, headers, _ = await server.get("//list//")
            assert (status, headers["location"]) == (301, "/list/")
            await server.logged("| http       | url:'http://127.0.0.1")

    async def test_directories(self, running, site):
        async with running(f"--staticdir={site}") as server:
            status, _, body = await server.get("/list/")
            assert (status, body) == (
                200,
                b'<pre>\n<a href="a%20b%26c">a b&amp;c</a>\n<a href="sub/">sub/</a>\n</pre>\n',
            )
            assert (await server.get("/start/"))[::2] == (200, b"<p>start")
            for path, location in (
                ("/list", "list/"),
                ("/start/index.html", "./"),
                ("/page.html/", "../page.html"),
            ):
                status, headers, _ = await server.get(path)
                assert (status, headers["location"]) == (301, location)

    async def test_ranges(self, running, site):
        async with running(f"--staticdir={site}") as server:
            for wanted, status, octets, place in (
                ("bytes=0-9", 206, range(10), "bytes 0-9/100"),
                ("bytes=-5", 206, range(95, 100), "bytes 95-99/100"),
                ("bytes=90-1000", 206, range(90, 100), "bytes 90-99/100"),
                ("bytes=0-1,5-6", 200, range(100), None),
                ("bytes=100-", 416, (), "bytes */100"),
            ):
                found, headers, body = await server.get("/data.bin", f"Range: {wanted}")
                assert (found, list(body)) == (status, list(octets))
                assert headers.get("content-range") == place

    async def test_dates(self, running, site):
        async with running(f"--staticdir={site}") as server:
            _, headers, _ = await server.get("/data.bin")
            assert headers["last-modified"] == DATE.lower()
            before = "Tue, 14 Nov 2023 22:13:19 GMT"
            for date, status in ((DATE, 304), (before, 200), ("nonsense", 200)):
                found = await server.get("/data.bin", f"If-Modified-Since: {date}")
                assert found[0] == status

    async def test_a_large_file(self, running, site):
        octets = os.urandom(300_000)
        (site / "large").write_bytes(octets)
        async with running(f"--staticdir={site}") as server:
            status, headers, body = await server.get("/large")
        assert (status, body) == (200, octets)
        assert headers["content-type"] == "application/octet-stream"


class TestCgi:
    @pytest.fixture
    def script(self, tmp_path):
        def make(text, name="t.sh"):
            path = tmp_path / name
            path.write_text("#!/bin/sh\n" + text)
            path.chmod(0o755)
            return f"--cgidir={tmp_path}"

        return make

    async def test_a_script(self, running, script):
        option = script('printf "X-A: b\\nContent-Type: text/x\\n\\n"; pwd; env; cat')
        async with running(option, "--passenv=PATH,HOME") as server:
            target, header = "/t.sh?a=b", "Proxy: evil"
            status, headers, body = await server.get(target, header, "X-It: y")
        lines = body.decode().split("\n")
        assert (status, headers["content-type"], headers["x-a"]) == (200, "text/x", "b")
        assert lines[0] == os.path.realpath(option.partition("=")[2])
        assert f"PATH={os.environ['PATH']}" in lines
        for line in (
            "GATEWAY_INTERFACE=CGI/1.1",
            "PATH_INFO=/t.sh",
            "SCRIPT_NAME=/",
            "QUERY_STRING=a=b",
            "REQUEST_URI=/t.sh?a=b",
            f"SERVER_NAME=127.0.0.1:{server.port}",
            f"HTTP_HOST=127.0.0.1:{server.port}",
            f"SERVER_PORT={server.port}",
            "HTTP_X_IT=y",
        ):
            assert line in lines
        assert not [line for line in lines if line.startswith("HTTP_PROXY")]

    async def test_a_body(self, running, script):
        text = 'echo Content-Type: text/x; echo; echo "$CONTENT_LENGTH $CONTENT_TYPE"; cat'
        async with running(script(text)) as server:
            _, _, body = await server.post("/t.sh", b"x" * 100_000, "Content-Type: text/y")
            assert body == b"100000 text/y\n" + b"x" * 100_000
            assert (await server.post("/t.sh", b"x" * 1_048_577))[0] == 413
            chunked = await server.get("/t.sh", "Transfer-Encoding: chunked", method="POST")
            assert chunked[0] == 400

    async def test_a_body_that_nobody_reads(self, running, script):
        async with running(script("echo Content-Type: text/x; echo; echo done")) as server:
            assert (await server.post("/t.sh", b"x" * 200_000))[2] == b"done\n"

    async def test_off_unless_given(self, running, script):
        directory = script("exit").partition("=")[2]
        async with running(f"--staticdir={directory}") as server:
            _, _, body = await server.get("/t.sh")
        assert body == b"#!/bin/sh\nexit"

    @pytest.mark.parametrize(
        "text", ["echo nothing", "exit 1", "echo 'Status: x'; echo", "echo 'X: y'; echo"]
    )
    async def test_nonsense(self, running, script, text):
        async with running(script(text)) as server:
            assert (await server.get("/t.sh"))[0] == 500
            await server.logged("| CGI: ")

    async def test_no_program(self, running, script, tmp_path):
        option = script("")
        (tmp_path / "plain").write_text("x")
        async with running(option) as server:
            assert (await server.get("/plain"))[0] == 500
            assert (await server.get("/t.sh/more"))[0] == 404

    async def test_too_long(self, running, script, monkeypatch):
        monkeypatch.setattr(cgi, "TIMEOUT", 0.2)
        async with running(script("sleep 1000")) as server:
            assert (await server.get("/t.sh"))[0] == 500

    async def test_too_much(self, running, script, monkeypatch):
        monkeypatch.setattr(cgi, "MAX_OUTPUT", 1000)
        async with running(script("yes")) as server:
            assert (await server.get("/t.sh"))[0] == 500
            await server.logged("wrote more than 1000 bytes")

    async def test_forks_count(self, running, script):
        async with running(script("exit"), "--maxforks=1", "cat") as server:
            async with server.connect():
                status, _, body = await server.get("/t.sh")
                assert (status, body) == (429, b"429 Too Many Requests\n")
                await server.logged("CGI was not run.")

    @pytest.mark.parametrize(
        ("output", "status"),
        [
            (b"Status: 404 Gone away\nContent-Type: a/b\n\nx", 404),
            (b"Location: /x\r\n\r\n", 302),
            (b"Content-Type: a/b\r\nContent-Length: 99\r\n\r\nx", 200),
        ],
    )
    def test_what_it_may_say(self, output, status):
        response = cgi.read_output(output)
        assert response.status_code == status
        assert "Content-Length" not in response.headers


class TestTheRest:
    async def test_console(self, running):
        async with running("--devconsole", "cat") as server:
            status, headers, body = await server.get("/any?thing")
            assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
            assert "last-modified" in headers and "'unsafe-inline'" not in str(headers)
            assert b"WebSocket" in body
            async with server.connect() as ws:
                await ws.send("x")
                assert await ws.recv() == "x"

    async def test_headers(self, running, site):
        options = ("--header=X-All: a", "--header-ws=X-Ws: w", "--header-http=X-Http:  h")
        async with running(*options, f"--staticdir={site}", "cat") as server:
            _, headers, _ = await server.get("/page.html")
            assert (headers["x-all"], headers["x-http"]) == ("a", "h")
            assert "x-ws" not in headers
            _, headers, _ = await server.get("/none")
            assert headers["x-all"] == "a"
            async with server.connect() as ws:
                found = ws.response.headers
            assert (found["X-All"], found["X-Ws"]) == ("a", "w")
            assert "X-Http" not in found and "Sec-WebSocket-Extensions" not in found
            status, headers, _ = await server.get(
                "/",
                "Upgrade: websocket",
                "Connection: upgrade",
                "Origin: http://evil.example",
            )
            assert status == 400 or "x-all" not in headers

    async def test_headers_of_the_handshake_itself(self, running):
        options = ("--header-ws=Sec-WebSocket-Protocol: chat", "--header=Upgrade: other")
        async with running(*options, "cat") as server:
            async with server.connect(subprotocols=["other", "chat"]) as ws:
                assert ws.subprotocol == "chat"
            async with server.connect() as ws:
                assert ws.subprotocol is None

    async def test_a_name_of_somebody_else(self, running, site):
        async with running(f"--staticdir={site}") as server:
            assert (await server.get("/page.html", host="evil.example"))[0] == 403
        async with running(f"--staticdir={site}", "--address=127.0.0.1") as server:
            assert (await server.get("/page.html", host="evil.example"))[0] == 200
