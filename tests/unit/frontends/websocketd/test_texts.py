"""Environments, lines and log lines."""

from __future__ import annotations

import logging
import re

import pytest

from duologue.datastructures import Headers
from duologue.frontends.websocketd import environment, framing
from duologue.frontends.websocketd.log import LEVELS, Log, Records
from duologue.frontends.websocketd.visit import Visit
from duologue.http11 import Request


def visit(target="/", tls=False, headers=()):
    fields = [("Host", "a.example:8080"), *headers]
    return Visit(Request(target, Headers(fields)), tls, "10.0.0.1", "5000")


class TestEnvironment:
    def test_all_of_it_in_order(self):
        given = environment.passed(["PATH", "EMPTY", "HTTPS"], {"PATH": "/bin", "HTTPS": "x"})
        found = environment.variables(visit("/a%20b?q=%20", True), "/", "/a b", given)
        identity = found.pop("UNIQUE_ID")
        assert identity.isdigit()
        assert list(found.items()) == [
            ("SERVER_SOFTWARE", environment.SOFTWARE),
            ("PATH", "/bin"),
            ("REMOTE_ADDR", "10.0.0.1"),
            ("REMOTE_HOST", "10.0.0.1"),
            ("SERVER_NAME", "a.example"),
            ("SERVER_PORT", "8080"),
            ("SERVER_PROTOCOL", "HTTP/1.1"),
            ("GATEWAY_INTERFACE", "CGI/1.1"),
            ("REQUEST_METHOD", "GET"),
            ("SCRIPT_NAME", "/"),
            ("PATH_INFO", "/a b"),
            ("PATH_TRANSLATED", "/a b"),
            ("QUERY_STRING", "q=%20"),
            ("AUTH_TYPE", ""),
            ("CONTENT_LENGTH", ""),
            ("CONTENT_TYPE", ""),
            ("REMOTE_IDENT", ""),
            ("REMOTE_USER", ""),
            ("REMOTE_PORT", "5000"),
            ("REQUEST_URI", "/a%20b?q=%20"),
            ("HTTPS", "on"),
        ]

    def test_of_the_original(self):
        found = environment.variables(visit(), "/", "/", {}, strict=True)
        assert found["GATEWAY_INTERFACE"] == "websocketd-CGI/0.1"

    @pytest.mark.parametrize(
        ("host", "tls", "name", "port"),
        [
            ("a", False, "a", "80"),
            ("a", True, "a", "443"),
            ("[::1]:5", False, "::1", "5"),
            ("a b", False, "", ""),
            ("", False, "", "80"),
        ],
    )
    def test_names_and_ports(self, host, tls, name, port):
        request = Visit(Request("/", Headers(Host=host)), tls, "", "")
        found = environment.variables(request, "/", "/", {})
        assert (found["SERVER_NAME"], found["SERVER_PORT"]) == (name, port)

    def test_headers(self):
        fields = [("X-A", "1"), ("x-a", "2"), ("Cookie", "c"), ("Proxy", "evil")]
        found = environment.header_variables(visit(headers=fields))
        assert found == {"HTTP_X_A": "1, 2", "HTTP_COOKIE": "c"}
        original = environment.variables(visit(headers=fields), "/", "/", {}, strict=True)
        assert original["HTTP_PROXY"] == "evil"

    def test_names_that_pretend(self):
        fields = [("X_Real_IP", "evil"), ("X-Real-IP", "good"), ("x_alone", "1"), ("_Host", "x")]
        found = environment.header_variables(visit(headers=fields))
        assert found == {"HTTP_X_REAL_IP": "good", "HTTP_X_ALONE": "1", "HTTP__HOST": "x"}
        original = environment.header_variables(visit(headers=fields), strict=True)
        assert original["HTTP_X_REAL_IP"] == "evil, good"

    def test_no_line_ends(self):
        given = environment.passed(["A"], {"A": " x\r\ny "})
        assert given == {"A": "x  y"}
        found = environment.variables(visit("/%0AHTTPS=on"), "/", "/\nHTTPS=on", given)
        assert found["PATH_INFO"] == "/ HTTPS=on"


class TestLines:
    @pytest.mark.parametrize("step", [1, 2, 3, 100])
    def test_any_pieces(self, step):
        octets = b"one\ntwo\r\n\n\r\nth\rree\nrest"
        lines = framing.Lines(None)
        found = []
        for start in range(0, len(octets), step):
            found += lines.feed(octets[start : start + step])
        assert found == [b"one", b"two", b"", b"", b"th\rree"]
        assert lines.rest() == b"rest"
        assert lines.rest() == b""

    @pytest.mark.parametrize("octets", [b"12345\n", b"12345", b"\n12345\n", b"\n12345"])
    def test_too_long(self, octets):
        with pytest.raises(framing.LineTooLong, match="longer than 4 bytes, see --maxlinesize"):
            framing.Lines(4).feed(octets)

    def test_too_long_in_pieces(self):
        lines = framing.Lines(4)
        lines.feed(b"123")
        with pytest.raises(framing.LineTooLong):
            lines.feed(b"45\n")

    def test_to_the_program(self):
        assert framing.to_program("ü\n") == "ü\n\n".encode()
        assert framing.to_program("") == b"\n"
        assert framing.to_program(b"\xff") == b"\xff"

    def test_no_utf_8(self):
        assert framing.to_text(b"a\xffb") == "a�b"

    def test_json(self):
        line = '<&>"\u2028é'.encode() + b"\xff"
        assert framing.as_json("stderr", line) == (
            '{"stream":"stderr","data":"\\u003c\\u0026\\u003e\\"\\u2028é�"}'
        )


class TestLog:
    def test_a_line(self):
        lines = []
        log = Log("access", lines.append).about(url="http://a/", pid="5")
        log("access", "session", "CONNECT\nx")
        (line,) = lines
        assert re.fullmatch(
            r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4} \| ACCESS \| session    \| "
            r"url:'http://a/' pid:'5' \| CONNECT\\x0ax",
            line,
        )

    def test_records_of_logging(self):
        lines = []
        logger = logging.Logger("x")
        logger.addHandler(Records(Log("debug", lines.append)))
        logger.info("nothing")
        logger.warning("one %s", "two")
        logger.error("three\nfour")
        found = [line.split(" | ", 1)[1] for line in lines]
        assert found == [
            "DEBUG  | server     |  | one two",
            "ERROR  | server     |  | three\\x0afour",
        ]

    @pytest.mark.parametrize("level", [*LEVELS, "none"])
    def test_levels(self, level):
        lines = []
        log = Log(level, lines.append)
        for each in LEVELS:
            log(each, "server", each)
        order = [*LEVELS, "none"]
        assert [line.rpartition("| ")[2] for line in lines] == order[order.index(level) : -1]
        assert [log.shows(each) for each in LEVELS].count(True) == len(lines)
