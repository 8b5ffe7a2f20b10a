"""Options of ``uvicorn.run()`` that are something else here, and what to say instead.

Pure. Who comes from uvicorn gets every option of it either kept, or refused with the way to what it
was for; never ignored. A value that asks for nothing but what is done anyway passes.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

__all__ = ["taken"]

_NEVER: tuple[object, ...] = ()
_RELOAD = "run the program under a tool that starts it again, such as watchfiles"
_WS = "it is an option of App() and of each route: "
_IMPORTED = "the application is imported already; it is for 'duologue serve'"
_ENGINE = "there is one, the engine's own; see engine="

# With the values that change nothing.
_OTHERS: Mapping[str, tuple[tuple[object, ...], str]] = {
    "app_dir": ((None,), _IMPORTED),
    "date_header": ((True,), "answers have a Date in any case (RFC 9110 section 6.6.1)"),
    "env_file": ((None,), "read it before the application is made"),
    "factory": ((False,), _IMPORTED),
    "h11_max_incomplete_event_size": ((None,), "say App(max_head=...)"),
    "headers": ((None, []), "give them to Response() and accept(), or have the proxy add them"),
    "http": (("auto", "httptools"), _ENGINE),
    "http2": ((False,), "only HTTP/1.1 is spoken; a proxy in front can speak others"),
    "interface": (("auto", "asgi3"), "App.mount() takes ASGI 3 applications"),
    "lifespan": (("auto", "on"), "lifespans are run where applications have them"),
    "limit_concurrency": ((None,), "say App(max_connections=...)"),
    "limit_max_requests": ((None,), "with several workers SIGHUP replaces them"),
    "limit_max_requests_jitter": ((0,), "with several workers SIGHUP replaces them"),
    "loop": (("auto",), "run() uses the engine's; serving() runs on any"),
    "reload": ((False,), _RELOAD),
    "reload_delay": ((0.25,), _RELOAD),
    "reload_dirs": ((None,), _RELOAD),
    "reload_excludes": ((None,), _RELOAD),
    "reload_includes": ((None,), _RELOAD),
    "reset_contextvars": ((False,), "each request has a context of its own"),
    "ssl_context_factory": ((None,), "pass the context as ssl="),
    "ssl_version": ((ssl.PROTOCOL_TLS_SERVER,), "pass a context of your own as ssl="),
    "timeout_worker_healthcheck": (_NEVER, "say worker_timeout="),
    "use_colors": ((None, False), "logs have no colours"),
    "ws": (("auto",), _ENGINE),
    "ws_max_queue": (_NEVER, _WS + "max_queue="),
    "ws_max_size": (_NEVER, _WS + "max_size="),
    "ws_per_message_deflate": ((True,), _WS + "compression=None"),
    "ws_ping_interval": (_NEVER, _WS + "ping_interval="),
    "ws_ping_timeout": (_NEVER, _WS + "ping_timeout="),
}


def taken(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options of serving, whichever of uvicorn's names they were given by.

    Args:
        options: names and values.

    Raises:
        TypeError: If an option is something else here; it says what.
        ValueError: If one was given by both of its names.
    """
    found = dict(options)
    for name in options:
        if name in _OTHERS:
            value = found.pop(name)
            idle, instead = _OTHERS[name]
            if not any(value == same for same in idle):
                raise TypeError(
                    f"{name}={value!r} is not for App.run() and App.serving(): {instead}"
                )
    if "timeout_graceful_shutdown" in found:
        if "drain_timeout" in found:
            raise ValueError("timeout_graceful_shutdown and drain_timeout are the same")
        found["drain_timeout"] = found.pop("timeout_graceful_shutdown")
    return found
