"""The server in a thread of the test's process, with handlers that the test writes."""

from __future__ import annotations

import contextlib
import textwrap
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from duologue.frontends.pywebsocket import names
from duologue.frontends.pywebsocket.config import Config
from duologue.frontends.pywebsocket.server import Server, find_handlers

from .support import PATIENCE, Running, Serve


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """Serves handlers: by keyword their sources, with ``config`` how."""

    @contextlib.contextmanager
    def serve(config: Config | None = None, **handlers: str) -> Iterator[Running]:
        for name, source in handlers.items():
            path = tmp_path / "handlers" / f"{name}_wsh.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(textwrap.dedent(source), encoding="utf-8")
        fields: dict[str, Any] = {"port": 0, "handlers": str(tmp_path / "handlers")}
        if config is None or config.hosts == Config().hosts:
            fields["hosts"] = ("127.0.0.1",)
        with names.taken():
            found = replace(config or Config(), **fields)
            server = Server(found, find_handlers(found))
            server.listen()
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                yield Running(server)
            finally:
                server.shutdown()
                thread.join(PATIENCE)
                assert not thread.is_alive()

    return serve
