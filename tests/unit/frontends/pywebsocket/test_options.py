"""Every option of ``standalone.py``: what it makes of the server."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from duologue.frontends.pywebsocket import options, standalone
from duologue.frontends.pywebsocket.config import Config
from duologue.frontends.pywebsocket.dispatch import Dispatcher
from duologue.frontends.pywebsocket.exceptions import DispatchException
from duologue.frontends.pywebsocket.extensions import DEFLATE_LOGGER
from duologue.frontends.pywebsocket.server import CannotListen, Server, find_handlers

from .support import ECHO, Serve


def config(*words: str) -> Config:
    return options.build_config(options.read(words))


def test_defaults() -> None:
    found = config()
    assert found == Config(document_root=os.getcwd())
    assert (found.port, found.backlog, found.handlers, found.max_threads) == (80, 128, ".", 1000)


@pytest.mark.parametrize(
    ("spellings", "field", "expected"),
    [
        (["-H ::1", "--server-host=::1", "--server_host ::1"], "hosts", ("::1",)),
        (["--server-host="], "hosts", ("",)),
        (["-p 9", "--port 9"], "port", 9),
        (["-V a", "--validation-host a", "--validation_host a"], "validation_host", "a"),
        (["-P 1", "--validation-port 1", "--validation_port 1"], "validation_port", 1),
        (["-w a", "--websock-handlers a", "--websock_handlers a"], "handlers", "a"),
        (
            ["-m a", "--websock-handlers-map-file a", "--websock_handlers_map_file a"],
            "handlers_map",
            "a",
        ),
        (["-s a", "--scan-dir a", "--scan_dir a"], "scan_dir", "a"),
        (
            ["--allow-handlers-outside-root-dir", "--allow_handlers_outside_root_dir"],
            "outside_root",
            True,
        ),
        (["-x /a,/b", "--cgi-paths /a,/b", "--cgi_paths /a,/b"], "cgi_paths", ("/a", "/b")),
        (["-q 3", "--queue 3"], "backlog", 3),
        (["--handler-encoding ascii", "--handler_encoding ascii"], "handler_encoding", "ascii"),
        (
            ["--origins https://a.example:81,null"],
            "origins",
            ("https://a.example:81", "null"),
        ),
        (["--basic-auth"], "credential", "test:test"),
        (["--basic-auth --basic-auth-credential a:b"], "credential", "a:b"),
        (["--basic-auth-credential a:b"], "credential", None),
        (["--max-threads 3", "--max_threads 3"], "max_threads", 3),
        (["--max-size 3", "--max_size 3"], "max_size", 3),
    ],
)
def test_spellings(spellings: list[str], field: str, expected: object) -> None:
    for words in spellings:
        assert getattr(config(*words.split()), field) == expected, words


class TestHandlers:
    def found(self, folder: Path, **fields: Any) -> list[str]:
        return find_handlers(Config(handlers=str(folder), **fields)).resources()

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        text = "def web_socket_do_extra_handshake(r): pass\nweb_socket_transfer_data = print\n"
        for name in ("a", "sub/b", "sub/c"):
            file = tmp_path / "root" / f"{name}_wsh.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        (tmp_path / "root-beside").mkdir()
        (tmp_path / "root-beside" / "d_wsh.py").write_text(text)
        return tmp_path / "root"

    def test_all(self, folder: Path) -> None:
        assert self.found(folder) == ["/a", "/sub/b", "/sub/c"]

    def test_scan_dir(self, folder: Path) -> None:
        assert self.found(folder, scan_dir=str(folder / "sub")) == ["/sub/b", "/sub/c"]

    def test_scan_dir_elsewhere(self, folder: Path) -> None:
        for other in (folder.parent, folder.parent / "root-beside", folder / "none"):
            with pytest.raises(DispatchException):
                self.found(folder, scan_dir=str(other))

    def test_outside_root(self, folder: Path) -> None:
        (folder / "d_wsh.py").symlink_to(folder.parent / "root-beside" / "d_wsh.py")
        (folder / "link").symlink_to(folder.parent / "root-beside")
        assert "/d" not in self.found(folder)
        assert self.found(folder, outside_root=True) == ["/a", "/d", "/sub/b", "/sub/c"]

    def test_map(self, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
        (folder / "map").write_text("# no\n/x /a\n\nbad\n/y /none\n")
        assert "/x" in self.found(folder, handlers_map=str(folder / "map"))
        assert [(one.levelname, one.getMessage()) for one in caplog.records] == [
            ("WARNING", "Wrong format in map file:bad"),
            ("ERROR", "No handler for: '/none'"),
        ]

    @pytest.mark.parametrize(
        "text", ["x = (", "raise SystemExit", "import none_such", "", "\udce9", "1 / 0"]
    )
    def test_broken_ones_are_warned_of(
        self, folder: Path, text: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        (folder / "bad_wsh.py").write_bytes(text.encode("utf-8", "surrogateescape"))
        assert self.found(folder, handler_encoding="utf-8") == ["/a", "/sub/b", "/sub/c"]
        assert "Warning in source loading" in caplog.text and "bad_wsh.py" in caplog.text

    def test_handler_encoding(self, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
        source = (
            "def web_socket_do_extra_handshake(r): pass\nweb_socket_transfer_data = print #\xe9"
        )
        (folder / "e_wsh.py").write_bytes(source.encode("latin-1"))
        assert "/e" not in self.found(folder, handler_encoding="utf-8")
        assert "/e" in self.found(folder, handler_encoding="latin-1")


class TestTls:
    @pytest.fixture
    def files(self, tmp_path: Path) -> Iterator[list[str]]:
        authority = trustme.CA()
        issued = authority.issue_cert("localhost")
        issued.private_key_pem.write_to_path(tmp_path / "key")
        issued.cert_chain_pems[0].write_to_path(tmp_path / "cert")
        authority.cert_pem.write_to_path(tmp_path / "ca")
        yield ["-t", "-k", str(tmp_path / "key"), "-c", str(tmp_path / "cert")]

    @pytest.mark.parametrize(
        ("words", "mode"),
        [
            ([], ssl.CERT_NONE),
            (["--tls-client-auth"], ssl.CERT_REQUIRED),
            (["--tls-client-auth", "--tls-client-cert-optional"], ssl.CERT_OPTIONAL),
        ],
    )
    def test_client_certificates(
        self, files: list[str], tmp_path: Path, words: list[str], mode: ssl.VerifyMode
    ) -> None:
        found = config(*files, *words, "--tls-client-ca", str(tmp_path / "ca")).tls
        assert found is not None
        assert found.verify_mode == mode
        assert found.cert_store_stats()["x509_ca"] == 1

    @pytest.mark.parametrize(
        "words",
        [
            ["-t"],
            ["-t", "-k", "none", "-c", "none"],
            ["--tls-client-auth"],
            ["--tls-client-cert-optional"],
        ],
    )
    def test_what_contradicts_itself(self, words: list[str]) -> None:
        with pytest.raises(SystemExit) as raised:
            config(*words)
        assert raised.value.code == 1

    def test_optional_without_auth(self, files: list[str]) -> None:
        with pytest.raises(SystemExit) as raised:
            config(*files, "--tls-client-cert-optional")
        assert raised.value.code == 1


class TestConfigFile:
    def test_the_command_line_wins(self, tmp_path: Path) -> None:
        path = tmp_path / "ini"
        path.write_text(
            "[pywebsocket]\nport=1\nqueue = 5\nbasic-auth=True\n"
            "allow-handlers-outside-root-dir=False\nbasic-auth-credential=a:%x\nscan_dir=-\n"
        )
        found = config("--config", str(path), "--port", "2")
        assert (found.port, found.backlog, found.credential) == (2, 5, "a:%x")
        assert (found.outside_root, found.scan_dir) == (False, "-")

    @pytest.mark.parametrize("text", [None, "port=1", "[other]\n", "\xff\xfe"])
    def test_none_that_can_be_read(
        self, tmp_path: Path, text: str | None, caplog: pytest.LogCaptureFixture
    ) -> None:
        if text is not None:
            (tmp_path / "ini").write_text(text, encoding="latin-1")
        with pytest.raises(SystemExit) as raised:
            config("--config", str(tmp_path / "ini"))
        assert raised.value.code == 1
        assert "Failed to open configuration file" in caplog.text


@pytest.mark.parametrize(
    "words",
    [
        *("--tls-module ssl", "--allow-draft75", "--strict", "--max-threads 0", "--port x"),
        *("--port 65536", "--port -1", "--handler-encoding nope"),
        *("--origins a.example", "--origins http://a.example/", "--origins http://a.example,"),
    ],
)
def test_what_there_is_no_use_for(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        options.read(words.split())
    assert raised.value.code == 2
    assert words.split()[0] in capsys.readouterr().err


def test_what_is_unknown(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(SystemExit) as raised:
        options.read(["--nonsense", "more"])
    assert raised.value.code == 1
    assert "Unrecognized positional arguments: ['--nonsense', 'more']" in caplog.text


class TestLog:
    @pytest.fixture(autouse=True)
    def loggers(self) -> Iterator[None]:
        """Leaves the root logger as it was."""
        root, deflate = logging.getLogger(), logging.getLogger(DEFLATE_LOGGER)
        before, level = list(root.handlers), root.level
        yield
        for handler in [one for one in root.handlers if type(one).__module__[:7] == "logging"]:
            if handler not in before:
                root.removeHandler(handler)
                handler.close()
        root.setLevel(level)
        deflate.setLevel(logging.NOTSET)

    def test_file(self, tmp_path: Path) -> None:
        path = tmp_path / "log"
        words = ["-l", str(path), "--log-max", "200", "--log-count", "2", "--log-level", "fine"]
        options.configure_logging(options.read(words))
        for _ in range(20):
            logging.getLogger("some.name").log(9, "what %s", "happens")
        line = r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\] \[FINE\] some\.name: what happens\n"
        assert re.match(line, path.read_text())
        assert sorted(file.name for file in tmp_path.iterdir()) == ["log", "log.1", "log.2"]

    @pytest.mark.parametrize(
        ("word", "level"),
        [("debug", 10), ("info", 20), ("warn", 30), ("warning", 30), ("error", 40)],
    )
    def test_levels(self, word: str, level: int) -> None:
        options.configure_logging(options.read(["--log-level", word]))
        assert logging.getLogger().level == level
        assert logging.getLogger(DEFLATE_LOGGER).level == logging.WARNING

    def test_the_level_of_deflate(self) -> None:
        options.configure_logging(options.read(["--deflate-log-level", "debug"]))
        assert logging.getLogger(DEFLATE_LOGGER).level == logging.DEBUG
        assert logging.getLogger().level == logging.WARNING

    def test_thread_monitor(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        logging.getLogger().addHandler(caplog.handler)
        stop = threading.Event()
        monitor = threading.Thread(target=options.monitor_threads, args=(0.01, stop), name="M")
        monitor.start()
        while "active threads" not in caplog.text:
            pass
        stop.set()
        monitor.join()
        assert re.search(r"\d active threads: .*\bM\b", caplog.text)


def test_a_port_that_is_taken(serve: Serve) -> None:
    with serve(h=ECHO) as running:
        taken = Server(Config(hosts=("127.0.0.1",), port=running.port), running.server._dispatcher)
        with pytest.raises(CannotListen, match=str(running.port)):
            taken.listen()
        taken.close()


@pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 must be there")
def test_a_port_that_is_taken_on_one_address(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = Server(
            Config(hosts=("127.0.0.1", "127.0.0.2"), port=port), Dispatcher(str(tmp_path))
        )
        server.listen()
        server.close()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert f"Not listening on port {port} of 127.0.0.1: Address already in use" in caplog.text


@pytest.mark.parametrize("words", ["-d /none", "-w /none", "-p 0 -H 192.0.2.1"])
def test_what_cant_be_served(words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(options, "configure_logging", lambda found: None)
    assert standalone.main(words.split()) == 1


@pytest.mark.skipif(os.name != "posix", reason="POSIX only")
def test_signals_end_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "duologue.frontends.pywebsocket.standalone", "-p0"]
    words = [*command, "--log-level=info", "-d", str(tmp_path)]
    with subprocess.Popen(words, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert b"Listening on port" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
