"""What is to be served, and how: the options as values."""

from __future__ import annotations

from dataclasses import dataclass, field

from duologue.frontends.websocketd.origins import OriginRule

__all__ = ["Config"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What is to be served, and how. Times are in seconds, ``None`` is no limit.

    Attributes:
        strict: Whether websocketd is imitated also where that is unsafe.
        command: Program and arguments, if one is served; the program is an absolute path.
        script_dir: Directory of programs, absolute, if one is served.
        origins: ``--origin``; ``None`` if it isn't given.
        same_origin: ``--sameorigin``; ``None`` if it isn't given.
        exit_hook: Program and arguments that are run after each session.

    The others are named after the options.
    """

    strict: bool = False
    command: tuple[str, ...] = ()
    script_dir: str | None = None
    static_dir: str | None = None
    cgi_dir: str | None = None
    dev_console: bool = False
    addresses: tuple[str, ...] = ()
    port: int = 80
    listen_tcp: bool = True
    redirect_port: int = 0
    unix_socket: str | None = None
    tls: bool = False
    cert: str = ""
    key: str = ""
    ca: str = ""
    binary: bool = False
    pass_stderr: bool = False
    pass_env: tuple[str, ...] = ("PATH", "LD_LIBRARY_PATH")
    reverse_lookup: bool = False
    max_forks: int | None = 1024
    max_size: int | None = 1_048_576
    max_line: int | None = 10_485_760
    close_delay: float = 0.0
    ping_interval: float | None = None
    same_origin: bool | None = None
    origins: tuple[OriginRule, ...] | None = None
    headers: tuple[tuple[str, str], ...] = ()
    headers_ws: tuple[tuple[str, str], ...] = ()
    headers_http: tuple[tuple[str, str], ...] = ()
    log_level: str = "access"
    share: bool = False
    share_format: str = "lines"
    restart: str = "never"
    rate: int | None = None
    exit_hook: tuple[str, ...] = ()
    given: frozenset[str] = field(default_factory=frozenset)

    @property
    def guards_origin(self) -> bool:
        """Whether nobody said whose pages may connect: then only our own may."""
        return not self.strict and not {"origin", "sameorigin"} & self.given

    @property
    def guards_host(self) -> bool:
        """Whether nobody said where to listen either: then only this machine's names lead here."""
        return self.guards_origin and not {"address", "unixsocket"} & self.given
