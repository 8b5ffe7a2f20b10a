"""Tests that need a tool are skipped where it is missing; under ``CI=true`` they fail instead."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import trustme

from .node_peers import PEERS_FOLDER
from .peer import TlsFiles


def _why_no_node() -> str | None:
    if shutil.which("node") is None:
        return "node is not on the PATH"
    if not (PEERS_FOLDER / "node_modules" / "ws").is_dir():
        return "the npm peers are not installed: run `npm ci` in tests/peers"
    return None


def _why_no_curl() -> str | None:
    return None if shutil.which("curl") else "curl is not on the PATH"


def _why_no_nginx() -> str | None:
    return None if shutil.which("nginx") else "nginx is not on the PATH"


def _why_no_haproxy() -> str | None:
    return None if shutil.which("haproxy") else "haproxy is not on the PATH"


def _why_no_websocketd() -> str | None:
    return None if shutil.which("websocketd") else "websocketd is not on the PATH"


TOOLS = {
    "needs_websocketd": _why_no_websocketd,
    "needs_node": _why_no_node,
    "needs_curl": _why_no_curl,
    "needs_nginx": _why_no_nginx,
    "needs_haproxy": _why_no_haproxy,
}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs_node: needs node and `npm ci` in tests/peers")
    config.addinivalue_line("markers", "needs_curl: needs curl")
    config.addinivalue_line("markers", "needs_websocketd: needs Debian's websocketd")
    config.addinivalue_line("markers", "needs_nginx: needs nginx")
    config.addinivalue_line("markers", "needs_haproxy: needs haproxy")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark, why_missing in TOOLS.items():
        reason = why_missing() if item.get_closest_marker(mark) else None
        if reason and os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        if reason:
            pytest.skip(reason)


@pytest.fixture(scope="session")
def tls_files(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    """A certificate for 127.0.0.1 from an authority that lives as long as the test run."""
    folder: Path = tmp_path_factory.mktemp("tls")
    files = TlsFiles(folder / "authority.pem", folder / "certificate.pem")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(files.authority))
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(str(files.certificate))
    return files
