"""The servers that are measured, each as its own documentation would have it fastest.

A server is a row: its name, how it is started, and what it is built of. Rows whose package is not
installed, or whose class duologue does not have, are left out with a note.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from places import BIN, NODE_MODULES, PYTHON, SERVERS, SOURCES

#: What a scenario may need beyond echo.
BROADCAST, DEFLATE, TLS = "broadcast", "deflate", "tls"
ALL = frozenset({BROADCAST, DEFLATE, TLS})


@dataclass(frozen=True)
class Variant:
    """How one scenario wants its server."""

    port: int
    deflate: bool = False
    tls: str | None = None


@dataclass(frozen=True)
class Server:
    """One row of the tables."""

    name: str
    command: Callable[[Variant], list[str]]
    setup: str
    packages: tuple[str, ...] = ()
    needs: str = ""
    features: frozenset[str] = ALL
    ours: bool = False
    #: Added to the environment.
    variables: dict[str, str] = field(default_factory=dict)
    #: When a run with a budget measures it: "always", where "tuned" or "loops" are wanted, where
    #: every "peer" is, or never ("spare").
    rank: str = "peer"
    #: The only scenario it is for; empty: all that its features allow.
    only: str = ""

    def missing(self) -> str | None:
        """Return why the server cannot be started here, or None."""
        probe = self.needs or "; ".join(f"import {p.partition('.')[0]}" for p in self.packages)
        if probe.startswith("/"):
            return None if os.path.exists(probe) else f"{os.path.basename(probe)} is not installed"
        return importable(probe)


@cache
def importable(statement: str) -> str | None:
    """Return what the bench's interpreter says against a statement, or None."""
    result = subprocess.run(
        [str(PYTHON), "-c", statement], env=environment(), capture_output=True, text=True
    )
    return result.stderr.strip().rpartition("\n")[2] if result.returncode else None


def environment() -> dict[str, str]:
    """Return the environment of servers and clients: duologue is taken from its sources."""
    return os.environ | {
        "PYTHONPATH": f"{SOURCES}:{SERVERS}",
        "NODE_PATH": str(NODE_MODULES),
        "NODE_ENV": "production",
    }


def _python(script: str, *options: str) -> Callable[[Variant], list[str]]:
    def command(variant: Variant) -> list[str]:
        words = [str(PYTHON), str(SERVERS / script), "--port", str(variant.port), *options]
        if variant.deflate:
            words.append("--deflate")
        if variant.tls:
            words += ["--tls", variant.tls]
        return words

    return command


def _javascript(*program: str) -> Callable[[Variant], list[str]]:
    def command(variant: Variant) -> list[str]:
        return [*program, str(variant.port), *(["deflate"] if variant.deflate else [])]

    return command


def _uvicorn(protocol: str) -> Callable[[Variant], list[str]]:
    def command(variant: Variant) -> list[str]:
        words = [str(PYTHON), "-m", "uvicorn", "applications:asgi", "--port", str(variant.port)]
        words += ["--ws", protocol, "--http", "httptools", "--loop", "uvloop"]
        words += ["--no-access-log", "--log-level", "error", "--lifespan", "off"]
        words += ["--ws-per-message-deflate", str(variant.deflate).lower()]
        if variant.tls:
            words += ["--ssl-certfile", variant.tls]
        return words

    return command


def _granian(variant: Variant) -> list[str]:
    words = [str(PYTHON), "-m", "granian", "applications:rsgi", "--port", str(variant.port)]
    words += ["--interface", "rsgi", "--loop", "uvloop", "--workers", "1", "--ws"]
    words += ["--runtime-mode", "st", "--runtime-threads", "1", "--no-log", "--http", "1"]
    if variant.tls:
        words += ["--ssl-certificate", variant.tls, "--ssl-keyfile", variant.tls]
    return words


#: glibc gives large blocks back to the kernel at once, and every 1 MiB message then pays for 256
#: fresh pages; these let it keep what it had.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "67108864", "MALLOC_TRIM_THRESHOLD_": "268435456"}
TUNING = "no keepalive, inbox of 64 messages, gc.freeze(), malloc keeps freed memory"


#: Levels of compression that reach the ratio of other peers, with the rows' names.
LEVELS = {level: f"duologue callback (duologue, level {level})" for level in (2, 5)}


def _our_row(kind: str, loop: str, tuned: bool) -> Server:
    script, needs = {
        "coroutine": ("coroutine_server.py", "duologue.serve"),
        "callback": ("callback_server.py", "duologue.Endpoint"),
    }[kind]
    own = "; duologue.EventLoop" if loop == "duologue" else ""
    if tuned:
        rank = "tuned" if loop == "duologue" else "spare"
    else:
        rank = "always" if loop == "duologue" else "loops"
    return Server(
        f"duologue {kind} ({loop}{', tuned' if tuned else ''})",
        _python(script, "--loop", loop, *(["--tuned"] if tuned else [])),
        f"{loop} loop, {kind} handler{f', {TUNING}' if tuned else ''}",
        packages=("duologue", "uvloop") if loop == "uvloop" else ("duologue",),
        needs=f"import duologue; {needs}{own}{'; import uvloop' if loop == 'uvloop' else ''}",
        ours=True,
        variables=KEEP_MEMORY if tuned else {},
        rank=rank,
    )


def _ours() -> list[Server]:
    rows = [
        _our_row(kind, loop, tuned)
        for tuned in (False, True)
        for loop in ("asyncio", "uvloop", "duologue")
        for kind in ("coroutine", "callback")
    ]
    rows += [
        Server(
            name,
            _python("callback_server.py", "--loop", "duologue", "--level", str(level)),
            f"duologue loop, callback handler, compression at level {level}",
            packages=("duologue",),
            needs="import duologue; duologue.Endpoint; duologue.EventLoop",
            ours=True,
            rank="always",
            only="deflate",
        )
        for level, name in LEVELS.items()
    ]
    rows.append(
        Server(
            "duologue coroutine (uvloop, asyncio link)",
            _python("coroutine_server.py", "--loop", "uvloop", "--engine", "asyncio"),
            "uvloop loop, coroutine handler, engine='asyncio'",
            packages=("duologue", "uvloop"),
            needs="import duologue; duologue.Endpoint",
            ours=True,
            rank="spare",
        )
    )
    return rows


def _raw(variant: Variant) -> list[str]:
    return [str(BIN / "raw_epoll"), "--port", str(variant.port)]


RAW, PICOWS = "raw epoll (C)", "picows (uvloop)"

_PEERS = [
    Server(
        RAW,
        _raw,
        "no Python, no checks: the physical limit",
        needs=str(BIN / "raw_epoll"),
        features=frozenset({BROADCAST}),
        rank="always",
    ),
    Server(
        PICOWS,
        _python("picows_server.py", "--loop", "uvloop"),
        "uvloop, callbacks, zero-copy payloads",
        packages=("picows", "uvloop", "aiofastnet"),
        features=frozenset({BROADCAST, TLS}),
        rank="always",
    ),
    Server(
        "picows.websockets (uvloop)",
        _python("coroutine_server.py", "--library", "picows.websockets", "--loop", "uvloop"),
        "uvloop, coroutine handler",
        packages=("picows", "uvloop"),
    ),
    Server(
        "websockets",
        _python("coroutine_server.py", "--library", "websockets"),
        "asyncio loop, coroutine handler, C speedups",
        packages=("websockets",),
    ),
    Server(
        "websockets (uvloop)",
        _python("coroutine_server.py", "--library", "websockets", "--loop", "uvloop"),
        "uvloop, coroutine handler, C speedups",
        packages=("websockets", "uvloop"),
    ),
    Server(
        "aiohttp (uvloop)",
        _python("aiohttp_server.py", "--loop", "uvloop"),
        "uvloop, C parser, no access log",
        packages=("aiohttp", "uvloop"),
    ),
    Server(
        "uvicorn websockets-sansio",
        _uvicorn("websockets-sansio"),
        "uvloop, httptools, websockets, ASGI",
        packages=("uvicorn", "uvloop", "httptools", "websockets"),
    ),
    Server(
        "uvicorn wsproto",
        _uvicorn("wsproto"),
        "uvloop, httptools, wsproto, ASGI",
        packages=("uvicorn", "uvloop", "httptools", "wsproto"),
        rank="spare",
    ),
    Server(
        "tornado (uvloop)",
        _python("tornado_server.py", "--loop", "uvloop"),
        "uvloop, set_nodelay(True)",
        packages=("tornado", "uvloop"),
    ),
    Server(
        "granian",
        _granian,
        "Rust (hyper, tungstenite), RSGI, uvloop, one worker and thread",
        packages=("granian", "uvloop"),
        features=frozenset({TLS}),
    ),
    Server(
        "socketify",
        _python("socketify_server.py"),
        "µWebSockets (C++) through cffi, callbacks",
        packages=("socketify",),
        features=frozenset({BROADCAST, DEFLATE}),
    ),
    Server(
        "bun",
        _javascript(str(NODE_MODULES / ".bin" / "bun"), str(SERVERS / "bun_server.js")),
        "µWebSockets (C++), JavaScript callbacks",
        packages=("npm bun",),
        needs=str(NODE_MODULES / ".bin" / "bun"),
        features=frozenset({BROADCAST, DEFLATE}),
    ),
    Server(
        "node ws",
        _javascript("node", str(SERVERS / "ws_server.js")),
        "npm ws with bufferutil",
        packages=("npm ws", "npm bufferutil"),
        needs=str(NODE_MODULES / "ws"),
        features=frozenset({BROADCAST, DEFLATE}),
    ),
    Server(
        "deno",
        _javascript(
            str(NODE_MODULES / ".bin" / "deno"),
            "run",
            "--allow-net",
            str(SERVERS / "deno_server.js"),
        ),
        "Rust (fastwebsockets), JavaScript callbacks",
        packages=("npm deno",),
        needs=str(NODE_MODULES / ".bin" / "deno"),
        features=frozenset({BROADCAST}),
    ),
]

SERVERS_BY_NAME = {server.name: server for server in [*_PEERS[:1], *_ours(), *_PEERS[1:]]}

#: What `make bench-quick` measures, when it is there.
QUICK = (
    RAW,
    "duologue coroutine (asyncio)",
    "duologue coroutine (uvloop)",
    "duologue callback (duologue)",
    PICOWS,
    "websockets",
    "aiohttp (uvloop)",
)


@cache
def version(package: str) -> str:
    """Return the installed version of a Python package or of ``npm NAME``."""
    kind, _, name = package.rpartition(" ")
    if kind == "npm":
        manifest = NODE_MODULES / name / "package.json"
        found = manifest.read_text().partition('"version":')[2].partition('"')[2].partition('"')[0]
        return f"{name} {found}"
    if package == "duologue":
        source = "import duologue; print(duologue.__version__)"
    else:
        source = f"import importlib.metadata as m; print(m.version({package!r}))"
    result = subprocess.run(
        [str(PYTHON), "-c", source], env=environment(), capture_output=True, text=True
    )
    return f"{package} {result.stdout.strip() or '?'}"
