#!/usr/bin/env python3
"""Install Autobahn|Testsuite (WebSocket fuzzingclient / fuzzingserver) on Python 3.

The suite on PyPI is Python 2 code.  This script creates a virtual environment,
lets pip fetch the published sdist, converts it mechanically (lib2to3, or fissix
on Python >= 3.13) and applies the small edits listed in EDITS, then writes a
`wstest` launcher.  Nothing of the suite is kept in this file except the search
strings the edits need.

    python install_autobahn.py [DIR]          (default: .cache/autobahn of the project)
    DIR/bin/wstest -m fuzzingclient -s spec.json [-w ws://127.0.0.1:9001]
    DIR/bin/wstest -m fuzzingserver -s spec.json

How the conversion keeps Python 2 semantics: in the suite a `str` is a byte
string.  Every source file is therefore decoded as ISO 8859-1, so that each
`str` literal keeps one character per byte, and payloads are mapped between such
strings and `bytes` at exactly one place, the protocol mixin `_py3.ByteStrings`.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import textwrap
from typing import Any

HOME = pathlib.Path(__file__).resolve().parent.parent / ".cache" / "autobahn"

SDIST = "autobahntestsuite==25.10.1"
SDIST_SHA256 = "b083d6e15330fc16f3e5f0975cce2b15f21bfa0c6db09547316b1852c6dbd6df"
DEPS = [
    "autobahn==24.4.2",
    "txaio==23.1.1",
    "twisted==24.11.0",
    "zope.interface==7.2",
    "setuptools==75.8.0",  # pkg_resources
    "wsaccel==0.6.7",  # C masking and UTF-8 validation, wheels for cp38..cp312
    "pyopenssl==24.3.0",
    "cryptography==44.0.1",
    "service-identity==24.2.0",  # wss://
]

# Only these are needed for the two fuzzing modes (case/*.py is added).
FILES = ["_version.py", "caseset.py", "fuzzing.py", "report.py", "interfaces.py"]

FIXERS = [
    "except",
    "exec",
    "has_key",
    "import",
    "ne",
    "numliterals",
    "print",
    "raise",
    "repr",
    "unicode",
    "xrange",
]

# file -> [(regex, replacement, expected number of matches)], applied after 2to3.
EDITS: dict[str, list[tuple[str, str, int | None]]] = {
    "fuzzing.py": [
        # byte strings, hex and JSON through the compatibility module
        (
            r"^import os, json, binascii, time, textwrap, pkg_resources$",
            "import os, time, textwrap, pkg_resources\n"
            "from . import _py3\nfrom . import _py3 as binascii, _py3 as json",
            1,
        ),
        (r"^class FuzzingProtocol:", "class FuzzingProtocol(_py3.ByteStrings):", 1),
        (
            r"(?s)^def binLogData\(.*?^(?=class FuzzingProtocol)",
            "binLogData, asciiLogData = _py3.binLogData, _py3.asciiLogData\n\n\n",
            1,
        ),
        (r"''\.join\(payload\)", "b''.join(payload)", 1),
        (
            r"self\.runCase\.onMessage\(msg, binary\)",
            "self.runCase.onMessage(_py3.s(msg), binary)",
            1,
        ),
        (r"self\.runCase\.onPong\(payload\)", "self.runCase.onPong(_py3.s(payload))", 1),
        (r"self\.http_(request|response)_data if", r"_py3.s(self.http_\1_data) if", 2),
        (r"\.encode\(.utf-?8.\)", "", 2),
        (r"open\((os\.path\.join\(outdir, report_filename\)), 'w'\)", r"_py3.open_report(\1)", 4),
        # autobahn API changes since 0.10
        (r"self\.failConnection\(\)", "self._fail_connection()", 1),
        (r"__init__\(self, debug = debug, debugCodePaths = debug\)", "__init__(self)", 2),
        (r"putChild\('cwd'", "putChild(b'cwd'", 1),
    ],
    "report.py": [
        (r"^import jinja2$", "", 1),
    ],
    "case/case.py": [
        (
            r"return pickle\.dumps\(obj1\) == pickle\.dumps\(obj2\)",
            "return _py3.norm(obj1) == _py3.norm(obj2)",
            1,
        ),
        (r"^import pickle$", "from .. import _py3", 1),
    ],
    "case/case10_1_1.py": [
        (r"len\(self\.payload\) / self", "len(self.payload) // self", 1),
    ],
    "case/case12_x_x.py": [
        (r"requestNoContextTakeover(?=[ ]*[=,)\]])", "request_no_context_takeover", None),
        (r"requestMaxWindowBits(?=[ ]*[=,)\]])", "request_max_window_bits", None),
        (r"acceptNoContextTakeover", "accept_no_context_takeover", None),
        (r"acceptMaxWindowBits", "accept_max_window_bits", None),
        (
            r"(?m)^def onMessage\(self, msg, binary\):$",
            "def onMessage(self, msg, binary):\n   msg = _py3.b(msg)",
            1,
        ),
        (r"msg = ''$", "msg = b'' if self.TESTDATA['binary'] else ''", 1),
        (
            r"^import copy, os, pkg_resources, hashlib, binascii$",
            "import copy, os, pkg_resources, hashlib\nfrom .. import _py3, _py3 as binascii",
            1,
        ),
    ],
    "case/case6_x_x.py": [
        (
            r"^from autobahn\.websocket\.utf8validator import Utf8Validator$",
            "from .._py3 import Utf8Validator",
            1,
        ),
    ],
    # applied to every case file
    "case/*": [
        (r"^import binascii$", "from .. import _py3 as binascii", None),
        (r"\(object, Case, \)", "(Case,)", None),
        # 9.9.1 is not in the list of cases; only its class decorator stops the import
        (r"^from zope\.interface import implements$", "implements = lambda *a: None", None),
    ],
}

PY3_MODULE = '''
"""Bridge between Python 2 style byte strings (ISO 8859-1 text) and bytes."""
import binascii as _binascii
import json as _json
from json import loads                                          # noqa: F401

from autobahn.websocket.utf8validator import Utf8Validator as _Utf8Validator


def b(x):
    return x.encode("latin-1") if isinstance(x, str) else bytes(x)


def s(x):
    return bytes(x).decode("latin-1") if isinstance(x, (bytes, bytearray, memoryview)) else x


def norm(x):
    if isinstance(x, (list, tuple)):
        return [norm(y) for y in x]
    return s(x)


def b2a_hex(x):
    return _binascii.b2a_hex(b(x)).decode("ascii")


hexlify = b2a_hex


def dumps(obj, **kw):
    return _json.dumps(obj, default=s, **kw)


def open_report(path):
    return open(path, "w", encoding="latin-1", errors="xmlcharrefreplace")


def binLogData(data, maxlen=64):
    data = b(data)
    if len(data) > maxlen - 4:
        return b2a_hex(data[:maxlen]) + " ..."
    return b2a_hex(data)


def asciiLogData(data, maxlen=64, replace=False):
    data = b(data)
    shown = data[:maxlen] + b" ..." if len(data) > maxlen - 4 else data
    try:
        return shown.decode("utf8", "replace" if replace else "strict")
    except UnicodeDecodeError:
        return "0x" + binLogData(data, maxlen)


class Utf8Validator(_Utf8Validator):
    def validate(self, data):
        return _Utf8Validator.validate(self, b(data))


class ByteStrings:
    """Mixed in before autobahn's protocol class."""
    debug = False
    # autobahn 24 reads this before it is copied from the factory, so Nagle's algorithm
    # would stay on and join the octets that the chopped cases (3.4, 5.5, 9.5, ..) send
    tcpNoDelay = True

    def sendFrame(self, opcode, payload=b"", *args, **kw):
        if kw.get("mask") is not None:
            kw["mask"] = b(kw["mask"])
        return super().sendFrame(opcode, b(payload), *args, **kw)

    def sendMessage(self, payload, *args, **kw):
        return super().sendMessage(b(payload), *args, **kw)

    def sendMessageFrame(self, payload, *args, **kw):
        return super().sendMessageFrame(b(payload), *args, **kw)

    def sendMessageFrameData(self, payload, *args, **kw):
        return super().sendMessageFrameData(b(payload), *args, **kw)

    def sendCloseFrame(self, code=None, reasonUtf8=None, isReply=False):
        if reasonUtf8 is not None:
            reasonUtf8 = b(reasonUtf8)
        return super().sendCloseFrame(code=code, reasonUtf8=reasonUtf8, isReply=isReply)
'''

INIT_MODULE = """
import warnings
warnings.filterwarnings("ignore", category=DeprecationWarning)
warnings.filterwarnings("ignore", category=UserWarning)
from ._version import __version__                               # noqa: E402
version = __version__
"""

MAIN_MODULE = '''
"""wstest for Python 3: the modes fuzzingclient and fuzzingserver."""
import argparse
import json
import os
import sys

from . import version


def main():
    p = argparse.ArgumentParser(prog="wstest", description=__doc__)
    p.add_argument("-m", "--mode", choices=["fuzzingclient", "fuzzingserver"], required=True)
    p.add_argument("-s", "--spec", help="JSON spec file (default: MODE.json)")
    p.add_argument("-w", "--wsuri", help="server under test, when the spec names none")
    p.add_argument("-u", "--webport", type=int, default=0,
                   help="port of the fuzzingserver's web page (default 0: none)")
    p.add_argument("-d", "--debug", action="store_true")
    a = p.parse_args()
    with open(a.spec or a.mode + ".json") as f:
        spec = json.load(f)

    sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    from twisted.internet import epollreactor
    epollreactor.install()
    from twisted.internet import interfaces, reactor, tcp
    from twisted.python import log
    if a.debug:
        log.startLogging(sys.stdout)
    else:
        # errors inside the suite must be seen: they would otherwise look like a hang
        log.addObserver(lambda e: e.get("isError") and print(
            "wstest: error:", log.textFromEventDict(e), file=sys.stderr))
    from . import fuzzing

    if a.mode == "fuzzingclient":
        if not spec.get("servers"):
            spec["servers"] = [{"url": a.wsuri}]
        fuzzing.startClient(spec, debug=a.debug)
    else:
        # autobahn listens on every interface; stay on the host of the URL (loopback)
        from urllib.parse import urlsplit
        host = urlsplit(spec["url"]).hostname or "127.0.0.1"
        def listenTCP(port, factory, *args, _l=reactor.listenTCP, **kw):
            kw["interface"] = "127.0.0.1" if host == "localhost" else host
            return _l(port, factory, **{k: v for k, v in kw.items() if k in ("interface",)})
        reactor.listenTCP = listenTCP
        fuzzing.startServer(spec, a.webport, debug=a.debug)
    reactor.run()


if __name__ == "__main__":
    main()
'''


def run(*command: str | pathlib.Path) -> None:
    """Run a command of the installation, shown first."""
    print("+", " ".join(map(str, command)), flush=True)
    subprocess.run([str(word) for word in command], check=True)


def convert(source: pathlib.Path, target: pathlib.Path) -> None:
    """Convert the unpacked package ``source`` into the importable package ``target``."""
    library = "lib2to3" if sys.version_info < (3, 13) else "fissix"
    refactor: Any = importlib.import_module(f"{library}.refactor")
    tool = refactor.RefactoringTool([f"{library}.fixes.fix_{fixer}" for fixer in FIXERS])
    names = FILES + sorted("case/" + path.name for path in (source / "case").glob("*.py"))
    shutil.rmtree(target, ignore_errors=True)
    (target / "case").mkdir(parents=True)
    os.chdir(source.parent)  # the import fixer looks beside the file for siblings
    for name in names:
        text = (source / name).read_bytes().decode("latin-1").replace("\r\n", "\n")
        if not text.endswith("\n"):
            text += "\n"
        text = str(tool.refactor_string(text, str(pathlib.Path(source.name) / name)))
        (target / name).write_text(edited(name, text), encoding="utf-8")
    shutil.copytree(source / "testdata", target / "testdata")
    shutil.copytree(source / "web", target / "web")
    (target / "_py3.py").write_text(textwrap.dedent(PY3_MODULE).lstrip())
    (target / "__init__.py").write_text(INIT_MODULE.lstrip())
    (target / "__main__.py").write_text(MAIN_MODULE.lstrip())


def edited(name: str, text: str) -> str:
    """Return the converted file with its edits; each must match as often as it says."""
    edits = EDITS.get(name, []) + (EDITS["case/*"] if name.startswith("case/") else [])
    for pattern, replacement, expected in edits:
        text, found = re.subn("(?m)" + pattern, replacement, text)
        if expected is not None and found != expected:
            sys.exit(f"{name}: {pattern!r} matched {found} times, not {expected}")
    return text


def install(home: pathlib.Path, sdist: pathlib.Path | None) -> None:
    """Make the environment, fetch the published source and convert it into the environment."""
    if not (home / "bin" / "python").exists():
        run(sys.executable, "-m", "venv", home)
    python = home / "bin" / "python"
    pip = (python, "-m", "pip", "--quiet", "--disable-pip-version-check")
    converter = ["fissix"] if sys.version_info >= (3, 13) else []
    run(*pip, "install", *DEPS, *converter)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        if sdist is None:
            run(
                *pip,
                "download",
                "--no-deps",
                "--no-binary",
                "autobahntestsuite",
                "-d",
                folder,
                SDIST,
            )
            (sdist,) = folder.glob("autobahntestsuite-*.tar.gz")
        digest = hashlib.sha256(sdist.read_bytes()).hexdigest()
        if digest != SDIST_SHA256:
            sys.exit(f"{sdist.name}: SHA-256 {digest} is not the one this script was made for")
        with tarfile.open(sdist) as archive:
            if hasattr(tarfile, "data_filter"):
                archive.extractall(folder / "src", filter="data")
            else:  # before 3.11.4; what is unpacked has the expected digest
                archive.extractall(folder / "src")
        (source,) = (folder / "src").glob("autobahntestsuite-*/autobahntestsuite")
        site = answer(python, "import sysconfig; print(sysconfig.get_path('purelib'))")
        target = pathlib.Path(site) / "autobahntestsuite"
        run(python, "-W", "ignore", pathlib.Path(__file__), "--convert", source, target)
    wstest = home / "bin" / "wstest"
    wstest.write_text(f'#!/bin/sh\nexec {python} -W ignore -m autobahntestsuite "$@"\n')
    wstest.chmod(0o755)
    cases = answer(python, "from autobahntestsuite.case import Cases; print(len(Cases))")
    print(f"Autobahn|Testsuite ready: {wstest} ({cases} cases)")


def answer(python: pathlib.Path, program: str) -> str:
    """Return what a one-line program prints."""
    command = [str(python), "-W", "ignore", "-c", program]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def main() -> None:
    """Install, unless what this very script installs is there already."""
    parser = argparse.ArgumentParser(description="install Autobahn|Testsuite on Python 3")
    parser.add_argument("dir", nargs="?", default=HOME, type=pathlib.Path)
    parser.add_argument("--sdist", type=pathlib.Path, help="use this sdist instead of asking pip")
    parser.add_argument("--convert", nargs=2, type=pathlib.Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.convert:
        source, target = (path.absolute() for path in arguments.convert)
        convert(source, target)
        return
    home = arguments.dir.absolute()
    stamp = home / "installed-by"
    script = hashlib.sha256(pathlib.Path(__file__).read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == script:
        return
    install(home, arguments.sdist)
    stamp.write_text(script)


if __name__ == "__main__":
    main()
