"""What one handler's connections have in common: their settings and their extensions.

``serve()`` has one :class:`ConnectionOptions` for all its connections; a server with routes may
have one for each of them. Made once, since connections of the same settings share memory.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from duologue.base.limits import DEFAULT_LIMITS, Limits
from duologue.base.types import LoggerLike
from duologue.base.vocabulary import Side
from duologue.connection.policies import Overflow
from duologue.connection.settings import MaxSizeOption, SecondsOption, Settings
from duologue.protocol.upgrade import Upgrades
from duologue.wire.extension import ServerExtensionFactory
from duologue.wire.permessage_deflate import enable_server_permessage_deflate


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """Options of a server's connections, resolved.

    Attributes:
        settings: bounds and times.
        extensions: to negotiate, in order of preference.
    """

    settings: Settings
    extensions: Sequence[ServerExtensionFactory] | None = None
    _upgrades: dict[str | None, Upgrades] = field(default_factory=dict, compare=False, repr=False)

    def upgrades(self, limits: Limits, server_header: str | None) -> Upgrades:
        """What answers ordinary handshakes of such connections, without a subprotocol.

        Args:
            limits: of heads.
            server_header: value of ``Server``, ``None`` for none.
        """
        found = self._upgrades.get(server_header)
        if found is None:
            found = Upgrades(limits, extensions=self.extensions, server_header=server_header)
            self._upgrades[server_header] = found
        return found

    @classmethod
    def resolve(
        cls,
        *,
        limits: Limits = DEFAULT_LIMITS,
        extensions: Sequence[ServerExtensionFactory] | None = None,
        compression: str | None = "deflate",
        max_size: MaxSizeOption = ...,
        max_queue: MaxSizeOption = ...,
        write_limit: MaxSizeOption = ...,
        ping_interval: SecondsOption = ...,
        ping_timeout: SecondsOption = ...,
        close_timeout: SecondsOption = ...,
        overflow: Overflow = "wait",
        cancel_on_disconnect: bool = False,
        logger: LoggerLike | None = None,
    ) -> Self:
        """Check options as :func:`~duologue.serve` takes them; it says what each means.

        Raises:
            TypeError: If an option has the wrong type.
            ValueError: If an option has a value that it can't have.
        """
        if compression == "deflate":
            extensions = enable_server_permessage_deflate(
                extensions, threshold=limits.compress_threshold
            )
        elif compression is not None:
            raise ValueError(f"unsupported compression: {compression}")
        settings = Settings.resolve(
            Side.SERVER,
            limits,
            max_size=max_size,
            max_queue=max_queue,
            write_limit=write_limit,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            close_timeout=close_timeout,
            overflow=overflow,
            cancel_on_disconnect=cancel_on_disconnect,
            logger=logger or logging.getLogger("duologue.server"),
        )
        return cls(settings, extensions)
