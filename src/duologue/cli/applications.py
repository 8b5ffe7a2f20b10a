"""Serving an application: an App of ours, or any ASGI application.

It turns arguments into what :meth:`duologue.App.serving` takes. What an application decides itself
(routes, bounds, who may connect) has no arguments here.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import inspect
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any

from duologue.app.application import App
from duologue.app.workers.running import run_workers
from duologue.base.limits import DEFAULT_LIMITS
from duologue.cli import listening, values
from duologue.cli.failure import Failure, certificate_text, system_text
from duologue.cli.terminal import complain
from duologue.net.activation import activated_sockets
from duologue.net.loops import new_event_loop
from duologue.net.signals import stop_requested

__all__ = [
    "add_arguments",
    "hosted",
    "is_asgi",
    "refuse_arguments",
    "run_application",
    "run_applications",
]

# Arguments that only applications have, with their values when they aren't given.
_OWN = {
    "ssl_keyfile_password": None,
    "ssl_ca_certs": None,
    "no_proxy_headers": False,
    "forwarded_allow_ips": None,
    "proxy_protocol": False,
    "proxy_allow_ips": None,
    "workers": 1,
    "worker_timeout": 30.0,
    "drain_timeout": 30.0,
    "metrics": None,
    "factory": False,
    "no_access_log": False,
    "root_path": "",
    "timeout_keep_alive": ...,
    "backlog": 2048,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments that only applications have.

    Args:
        parser: What to add them to.
    """
    group = parser.add_argument_group("for applications (module:attribute of an App or ASGI)")
    group.add_argument("--ssl-keyfile-password", metavar="TEXT", help="of an encrypted key")
    group.add_argument(
        "--ssl-ca-certs", metavar="FILE", help="demand certificates of these authorities"
    )
    group.add_argument(
        "--no-proxy-headers", action="store_true", help="ignore Forwarded and X-Forwarded-*"
    )
    _add_done_anyway(group, "--proxy-headers", "no_proxy_headers")
    group.add_argument(
        "--forwarded-allow-ips",
        metavar="LIST",
        help="addresses and networks of proxies whose headers count, '*' for all "
        "(default: $FORWARDED_ALLOW_IPS, else this machine)",
    )
    group.add_argument(
        "--proxy-protocol", action="store_true", help="expect the PROXY protocol, version 1 or 2"
    )
    group.add_argument(
        "--proxy-allow-ips",
        metavar="LIST",
        help="who may use the PROXY protocol (default: this machine)",
    )
    group.add_argument(
        "--root-path",
        metavar="PATH",
        default="",
        help="what a proxy in front takes off each path, such as /api",
    )
    _add_process_arguments(group)


def _add_done_anyway(group: argparse._ArgumentGroup, option: str, contrary: str) -> None:
    """Takes what stands in many a command line of uvicorn."""
    group.add_argument(option, dest=contrary, action="store_false", help=argparse.SUPPRESS)


def _add_process_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--workers",
        metavar="N",
        type=values.count,
        default=_OWN["workers"],
        help="processes that serve; SIGHUP replaces them one by one (default: 1)",
    )
    group.add_argument(
        "--worker-timeout",
        "--timeout-worker-healthcheck",
        metavar="SECONDS",
        type=values.interval,
        default=_OWN["worker_timeout"],
        help="replace a worker that gave no sign of life for so long; 'none' for never "
        "(default: 30)",
    )
    group.add_argument(
        "--drain-timeout",
        "--timeout-graceful-shutdown",
        metavar="SECONDS",
        type=values.interval,
        default=_OWN["drain_timeout"],
        help="time for handlers to return, and for what waits to be sent, in the end; 'none' for "
        "any (default: 30)",
    )
    group.add_argument(
        "--timeout-keep-alive",
        metavar="SECONDS",
        type=values.interval,
        default=...,
        help="time between two requests of a connection; 'none' for any "
        f"(default: {DEFAULT_LIMITS.keep_alive_timeout:g})",
    )
    group.add_argument(
        "--backlog",
        metavar="N",
        type=values.count,
        default=_OWN["backlog"],
        help="connections that may wait to be accepted (default: 2048)",
    )
    group.add_argument(
        "--no-access-log", action="store_true", help="don't write a line for each answer"
    )
    _add_done_anyway(group, "--access-log", "no_access_log")
    group.add_argument(
        "--factory", action="store_true", help="TARGET is a function that makes the application"
    )
    group.add_argument(
        "--metrics",
        metavar="PLACE",
        help="port of this machine, or host:port, where GET /metrics tells the numbers of "
        "Prometheus (default: nowhere)",
    )


def refuse_arguments(arguments: argparse.Namespace) -> None:
    """Ends the program if something was given that the target has no use for.

    Args:
        arguments: With ``parser`` and what :func:`add_arguments` declares.

    Raises:
        SystemExit: With code 2.
    """
    for name, absent in _OWN.items():
        if getattr(arguments, name) != absent:
            option = "--" + name.replace("_", "-")
            arguments.parser.error(f"{option} is for applications only")


def is_asgi(value: object) -> bool:
    """Tells whether something is an ASGI 3 application: it takes scope, receive and send.

    Args:
        value: Anything.
    """
    called = getattr(value, "__call__", None)  # noqa: B004 -- of an object, or of a method
    if isinstance(value, type) or not any(map(inspect.iscoroutinefunction, (value, called))):
        return False
    try:
        signature = inspect.signature(value)  # type: ignore[arg-type]  # it can be called
    except ValueError:
        return False
    try:
        signature.bind(object(), object(), object())
    except TypeError:
        return False
    try:
        signature.bind(object())
    except TypeError:
        return True
    return False


def hosted(application: Any, **options: Any) -> App:
    """Puts an ASGI application into an App that leaves all decisions to it.

    Args:
        application: The ASGI application.
        **options: Bounds of the App.
    """
    app = App(origins="*", allowed_hosts="*", **options)
    app.mount("/", application)
    return app


def run_application(
    app: App,
    arguments: argparse.Namespace,
    announce: Callable[[str], object],
    options: dict[str, Any] | None = None,
) -> None:
    """Serves until SIGINT or SIGTERM, then closes all connections with code 1001.

    Args:
        app: The application.
        arguments: Where to listen and how.
        announce: Called with the URL once the server listens.
        options: For :meth:`duologue.App.serving`, instead of those in ``arguments``.

    Raises:
        Failure: If nothing can listen there, or the certificate can't be used.
    """
    with _place(arguments) as place, asyncio.Runner(loop_factory=new_event_loop) as runner:
        place |= _options(arguments) if options is None else options
        runner.run(_serve(app, arguments, announce, place))


@contextlib.contextmanager
def _place(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    given = (arguments.host, arguments.port, arguments.uds, arguments.fd)
    if given == (None,) * 4 and (sockets := activated_sockets()):
        arguments.fd = sockets[0].fileno()
        yield {"sock": sockets}
        return
    if arguments.host is None:
        arguments.host = "127.0.0.1"
    if arguments.port is None:
        arguments.port = 8000
    with listening.listener(arguments) as place:
        yield place


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    options: dict[str, Any] = {
        name: getattr(arguments, name)
        for name in (
            "ssl_certfile",
            "ssl_keyfile",
            "ssl_keyfile_password",
            "ssl_ca_certs",
            "forwarded_allow_ips",
            "proxy_protocol",
            "drain_timeout",
            "metrics",
            "root_path",
            "timeout_keep_alive",
            "backlog",
        )
    }
    options["access_log"] = not arguments.no_access_log
    options["proxy_headers"] = not arguments.no_proxy_headers
    if arguments.proxy_allow_ips is not None:
        options["proxy_allow_ips"] = arguments.proxy_allow_ips
    return options


def run_applications(
    load: Callable[[], App],
    arguments: argparse.Namespace,
    announce: Callable[[str], object],
    prepare: Callable[[], object] | None = None,
    options: dict[str, Any] | None = None,
    at_once: bool = False,
) -> int:
    """Serves in several processes until SIGINT or SIGTERM.

    Args:
        load: Gives the application; called in each process, and by none here.
        arguments: Where to listen and how.
        announce: Called with the URL once all workers serve, or before, see ``at_once``.
        prepare: Called in each process first.
        options: For :meth:`duologue.App.serving`, instead of those in ``arguments``.
        at_once: Whether the URL is announced when it can be connected to; who does so then waits
            for a worker.

    Returns:
        The exit code.

    Raises:
        Failure: If nothing can listen there.
    """

    def loaded() -> App:
        try:
            return load()
        except Failure as failure:
            complain(str(failure))
            raise SystemExit(1) from failure

    def listening_on(sockets: list[socket.socket]) -> None:
        scheme = "http" if arguments.ssl_certfile is None else "https"
        if arguments.host is None:
            arguments.host = "127.0.0.1"
        announce(listening.url(scheme, arguments, sockets))

    place = {name: getattr(arguments, name) for name in ("host", "port", "uds", "fd")}
    try:
        return run_workers(
            loaded,
            arguments.workers,
            **place,
            **(_options(arguments) if options is None else options),
            worker_timeout=arguments.worker_timeout,
            prepare=prepare,
            listening=listening_on if at_once else None,
            announce=None if at_once else listening_on,
        )
    except OSError as error:
        where = listening.describe(arguments)
        raise Failure(f"cannot listen on {where}: {system_text(error)}") from error


async def _serve(
    app: App,
    arguments: argparse.Namespace,
    announce: Callable[[str], object],
    options: dict[str, Any],
) -> None:
    with stop_requested() as stop:
        async with contextlib.AsyncExitStack() as stack:
            try:
                server = await stack.enter_async_context(app.serving(**options))
            except ssl.SSLError as error:
                why = certificate_text(error)
                raise Failure(f"cannot use the certificate and its key: {why}") from error
            except FileNotFoundError as error:
                raise Failure(f"cannot read {error.filename}: {system_text(error)}") from error
            except OSError as error:
                where = listening.describe(arguments)
                raise Failure(f"cannot listen on {where}: {system_text(error)}") from error
            except ValueError as error:
                raise Failure(str(error)) from error
            scheme = "http" if arguments.ssl_certfile is None else "https"
            announce(listening.url(scheme, arguments, list(server.sockets)))
            await stop.wait()
