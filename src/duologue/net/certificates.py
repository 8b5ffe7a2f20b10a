"""A server's certificate, read again when its files change: no restart when it is renewed.

New connections get the new certificate, those there are keep theirs. Files that don't fit together
(they are replaced one after the other) are left alone until they do.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl

from duologue.base.types import LoggerLike

__all__ = ["CHECK_INTERVAL", "Certificate"]

CHECK_INTERVAL = 10.0
"""Seconds between two looks at the files: a renewed certificate is good for days before it must be
in use."""

Password = str | bytes | None


class Certificate:
    """The certificate of an SSL context.

    Args:
        context: of a server.
        certfile: PEM file with the chain.
        keyfile: PEM file with the private key; ``None`` if ``certfile`` holds it.
        password: of the private key.
        logger: told of each reload, and once of each that fails.

    Raises:
        OSError: If a file can't be read.
        ssl.SSLError: If they don't fit together.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        certfile: str | os.PathLike[str],
        keyfile: str | os.PathLike[str] | None = None,
        password: Password = None,
        logger: LoggerLike | None = None,
    ) -> None:
        self._context = context
        self._certfile = os.fspath(certfile)
        self._keyfile = None if keyfile is None else os.fspath(keyfile)
        self._password = password
        self._logger = logger or logging.getLogger("duologue.net")
        self._seen = self._facts()
        # Versions that were of no use: each is complained about once.
        self._refused = self._seen
        self._load(context)

    def _load(self, context: ssl.SSLContext) -> None:
        def password() -> str | bytes:
            # Otherwise OpenSSL would ask on the terminal, where nobody may be.
            return self._password or b""

        context.load_cert_chain(self._certfile, self._keyfile, password=password)

    def _facts(self) -> list[tuple[int, int, int]]:
        """What tells versions of the files apart."""
        paths = [self._certfile] if self._keyfile is None else [self._certfile, self._keyfile]
        found = [os.stat(path) for path in paths]
        return [(each.st_mtime_ns, each.st_size, each.st_ino) for each in found]

    def check(self) -> bool:
        """Read the files again if they have changed.

        Returns:
            Whether there is a new certificate.
        """
        try:
            facts = self._facts()
        except OSError:
            # Between its removal and its successor.
            return False
        try:
            if facts in (self._seen, self._refused):
                return False
            self._refused = facts
            # First somewhere else: a context whose key doesn't fit its certificate is of no use.
            self._load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
            self._load(self._context)
        except OSError as exc:  # ssl.SSLError is one
            self._logger.warning(
                "certificate in %s has changed and can't be used; the old one stays: %s",
                self._certfile,
                exc,
            )
            return False
        self._seen = facts
        self._logger.info("certificate in %s has changed and is in use", self._certfile)
        return True

    async def watch(self, interval: float = CHECK_INTERVAL) -> None:
        """Look at the files again and again, until cancelled.

        Args:
            interval: seconds between two looks.
        """
        while True:
            await asyncio.sleep(interval)
            self.check()
