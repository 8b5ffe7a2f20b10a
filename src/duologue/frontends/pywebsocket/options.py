"""The command line of ``standalone.py``: its options, its configuration file, its log.

All of pywebsocket3's options are there. Those that only google/pywebsocket had are refused, with
what to do instead.
"""

from __future__ import annotations

import argparse
import codecs
import configparser
import logging
import logging.handlers
import os
import re
import ssl
import sys
import threading
from collections.abc import Sequence
from typing import NoReturn

from duologue.frontends.pywebsocket import common
from duologue.frontends.pywebsocket.config import MAX_SIZE, MAX_THREADS, Config
from duologue.frontends.pywebsocket.extensions import DEFLATE_LOGGER

__all__ = ["build_config", "configure_logging", "monitor_threads", "read"]

_LEVELS = ["fine", "debug", "info", "warning", "warn", "error", "critical"]

_ORIGIN = re.compile(r"null|[a-z][a-z0-9+.-]*://[^/?#,\s]+", re.ASCII)

_GONE = {
    "--tls-module": "Python's ssl module is always used; leave it out",
    "--tls_module": "Python's ssl module is always used; leave it out",
    "--allow-draft75": "browsers have spoken RFC 6455 since 2011; leave it out",
    "--allow_draft75": "browsers have spoken RFC 6455 since 2011; leave it out",
    "--strict": "handshakes are always checked strictly; leave it out",
}


class _Gone(argparse.Action):
    """Refuses an option that there is no use for any more."""

    def __call__(self, parser: argparse.ArgumentParser, *args: object) -> NoReturn:
        option = str(args[-1])
        parser.error(f"{option} does nothing any more: {_GONE[option]}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m duologue.frontends.pywebsocket.standalone",
        description="Serve pywebsocket handlers (*_wsh.py) until interrupted.",
        allow_abbrev=False,
    )
    _add_place(parser)
    _add_handlers(parser)
    _add_security(parser)
    _add_log(parser)
    for option in _GONE:
        parser.add_argument(option, action=_Gone, nargs="?", help=argparse.SUPPRESS)
    return parser


def _add(parser: argparse.ArgumentParser, *names: str, help: str, **options: object) -> None:
    """Adds an option, its long name with underscores as well."""
    long = names[-1]
    other = "--" + long[2:].replace("-", "_")
    spellings = names if other == long else (*names, other)
    parser.add_argument(*spellings, help=help, **options)  # type: ignore[arg-type]


def _add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", metavar="FILE", help="INI file with a section [pywebsocket]")
    _add(
        parser,
        "-H",
        "--server-host",
        metavar="HOST",
        help="address to listen on; '' for all (default: this machine only)",
    )
    _add(parser, "-p", "--port", type=int, default=80, help="TCP port; 0 lets the system choose")
    _add(parser, "-V", "--validation-host", metavar="HOST", help="host of absolute targets")
    _add(parser, "-P", "--validation-port", metavar="PORT", type=int, help="port of these")
    parser.add_argument(
        "-q", "--queue", type=int, default=128, help="connections that wait to be accepted"
    )
    _add(
        parser,
        "--max-threads",
        type=int,
        default=MAX_THREADS,
        help=f"connections served at once (default: {MAX_THREADS})",
    )
    _add(
        parser,
        "--max-size",
        metavar="BYTES",
        type=int,
        default=MAX_SIZE,
        help=f"largest message accepted (default: {MAX_SIZE})",
    )


def _add_handlers(parser: argparse.ArgumentParser) -> None:
    _add(
        parser,
        "-w",
        "--websock-handlers",
        metavar="DIR",
        default=".",
        help="root of the handlers, relative to the document root",
    )
    _add(
        parser,
        "-m",
        "--websock-handlers-map-file",
        metavar="FILE",
        help="aliases: on each line a new resource and one that exists",
    )
    _add(parser, "-s", "--scan-dir", metavar="DIR", help="look for handlers here only, below -w")
    _add(
        parser,
        "--allow-handlers-outside-root-dir",
        action="store_true",
        help="take links to handlers outside of -w",
    )
    _add(parser, "--handler-encoding", metavar="NAME", help="of handlers (default: the locale's)")
    _add(
        parser,
        "-d",
        "--document-root",
        metavar="DIR",
        default=".",
        help="what plain HTTP serves; other paths are relative to it",
    )
    _add(
        parser,
        "-x",
        "--cgi-paths",
        metavar="PATHS",
        help="prefixes with commas between them; files below are run as CGI programs",
    )


def _add_security(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-t", "--tls", action="store_true", help="speak TLS")
    _add(parser, "-k", "--private-key", metavar="FILE", default="", help="private key (PEM)")
    _add(parser, "-c", "--certificate", metavar="FILE", default="", help="certificate (PEM)")
    parser.add_argument("--tls-client-auth", action="store_true", help="ask for certificates")
    parser.add_argument(
        "--tls-client-cert-optional", action="store_true", help="take clients without one as well"
    )
    parser.add_argument("--tls-client-ca", metavar="FILE", default="", help="who signed them (PEM)")
    parser.add_argument(
        "--origins",
        metavar="LIST",
        help="pages that may connect, with commas between them: https://a.example,null (null for "
        "pages from files; default: all)",
    )
    parser.add_argument("--basic-auth", action="store_true", help="ask for user and password")
    parser.add_argument(
        "--basic-auth-credential",
        metavar="USER:PASSWORD",
        default="test:test",
        help="which (default: test:test)",
    )


def _add_log(parser: argparse.ArgumentParser) -> None:
    _add(parser, "-l", "--log-file", metavar="FILE", default="", help="log here, not on stderr")
    _add(parser, "--log-level", choices=_LEVELS, default="warn", help="(default: warn)")
    _add(
        parser,
        "--deflate-log-level",
        choices=_LEVELS[1:],
        default="warn",
        help="for permessage-deflate (default: warn)",
    )
    _add(parser, "--log-max", metavar="BYTES", type=int, default=262_144, help="in a log file")
    _add(parser, "--log-count", metavar="N", type=int, default=5, help="old log files kept")
    _add(
        parser,
        "--thread-monitor-interval-in-sec",
        metavar="SECONDS",
        type=int,
        default=-1,
        help="log the running threads so often (at info); -1 for never",
    )


def _fail(message: str, *args: object) -> NoReturn:
    logging.critical(message, *args)
    sys.exit(1)


def _from_file(parser: argparse.ArgumentParser, path: str) -> list[str]:
    """Returns the options of a configuration file as words of a command line."""
    file = configparser.ConfigParser(interpolation=None)
    try:
        with open(path, encoding="utf-8") as opened:
            file.read_file(opened)
        items = file.items("pywebsocket")
    except (OSError, configparser.Error, UnicodeDecodeError) as error:
        _fail("Failed to open configuration file %r: %r", path, error)
    switches = {
        option
        for action in parser._actions
        if isinstance(action, argparse._StoreTrueAction)
        for option in action.option_strings
    }
    words = []
    for name, value in items:
        option = f"--{name}"
        if option not in switches:
            words.append(f"{option}={value}")
        elif value.lower() not in ("false", "no", "off", "0"):
            words.append(option)
    return words


def read(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads a command line, and the configuration file that it names: what it says itself wins.

    Args:
        words: The command line; ``None`` for the process's.

    Raises:
        SystemExit: With code 1 or 2, if there is something wrong, after saying so.
    """
    parser = _parser()
    words = list(sys.argv[1:] if words is None else words)
    options, rest = parser.parse_known_args(words)
    if options.config is not None and not rest:
        options, rest = parser.parse_known_args([*_from_file(parser, options.config), *words])
    if rest:
        _fail("Unrecognized positional arguments: %r", rest)
    if options.max_threads < 1 or options.max_size < 1:
        parser.error("--max-threads and --max-size must be 1 or more")
    if not 0 <= options.port <= 65535:
        parser.error(f"argument -p/--port: a port is from 0 to 65535, not {options.port}")
    if options.handler_encoding is not None:
        try:
            codecs.lookup(options.handler_encoding)
        except LookupError as error:
            parser.error(f"argument --handler-encoding: {error}")
    for origin in _origins(options) or ():
        if not _ORIGIN.fullmatch(origin):
            parser.error(f"--origins: {origin!r} is neither scheme://host[:port] nor null")
    return options


def _origins(options: argparse.Namespace) -> tuple[str, ...] | None:
    if options.origins is None:
        return None
    return tuple(origin.strip() for origin in options.origins.split(","))


def _tls(options: argparse.Namespace) -> ssl.SSLContext | None:
    if not options.tls:
        if options.tls_client_auth or options.tls_client_cert_optional:
            _fail("TLS must be enabled for client authentication.")
        return None
    if not options.private_key or not options.certificate:
        _fail("To use TLS, specify private_key and certificate.")
    if options.tls_client_cert_optional and not options.tls_client_auth:
        _fail("Client authentication must be enabled to specify tls_client_cert_optional")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # No password: otherwise OpenSSL would ask on the terminal.
        context.load_cert_chain(options.certificate, options.private_key, password=lambda: "")
        if options.tls_client_ca:
            context.load_verify_locations(options.tls_client_ca)
    except OSError as error:
        files = [options.certificate, options.private_key, options.tls_client_ca]
        _fail("Certificate or private key can't be used (%s): %s", " ".join(files).strip(), error)
    if options.tls_client_auth:
        optional = options.tls_client_cert_optional
        context.verify_mode = ssl.CERT_OPTIONAL if optional else ssl.CERT_REQUIRED
    return context


def build_config(options: argparse.Namespace) -> Config:
    """Returns what a command line says; paths are relative to the current directory.

    Args:
        options: As :func:`read` returns them.

    Raises:
        SystemExit: With code 1, if options contradict each other or TLS can't be set up.
    """
    host = options.server_host
    return Config(
        hosts=Config().hosts if host is None else (host,),
        port=options.port,
        handlers=options.websock_handlers,
        handlers_map=options.websock_handlers_map_file,
        scan_dir=options.scan_dir,
        outside_root=options.allow_handlers_outside_root_dir,
        handler_encoding=options.handler_encoding,
        document_root=os.getcwd(),
        cgi_paths=tuple(filter(None, (options.cgi_paths or "").split(","))),
        validation_host=options.validation_host,
        validation_port=options.validation_port,
        origins=_origins(options),
        credential=options.basic_auth_credential if options.basic_auth else None,
        tls=_tls(options),
        backlog=options.queue,
        max_threads=options.max_threads,
        max_size=options.max_size,
    )


def configure_logging(options: argparse.Namespace) -> None:
    """Logs as the options say.

    Args:
        options: As :func:`read` returns them.
    """
    logging.addLevelName(common.LOGLEVEL_FINE, "FINE")
    handler: logging.Handler = logging.StreamHandler()
    if options.log_file:
        handler = logging.handlers.RotatingFileHandler(
            options.log_file, maxBytes=options.log_max, backupCount=options.log_count
        )
    handler.setFormatter(logging.Formatter("[%(asctime)s] [%(levelname)s] %(name)s: %(message)s"))
    root = logging.getLogger()
    root.setLevel(options.log_level.upper())
    root.addHandler(handler)
    logging.getLogger(DEFLATE_LOGGER).setLevel(options.deflate_log_level.upper())


def monitor_threads(interval: float, stop: threading.Event) -> None:
    """Logs which threads run, again and again.

    Args:
        interval: Seconds between two times.
        stop: Ends it.
    """
    logger = logging.getLogger(__name__)
    while not stop.wait(interval):
        names = [thread.name for thread in threading.enumerate()]
        logger.info("%d active threads: %s", len(names), ", ".join(names))
