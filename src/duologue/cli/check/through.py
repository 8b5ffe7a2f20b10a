"""The way through a proxy: HTTP CONNECT, over TLS or not, and SOCKS.

How proxies are named, chosen and asked is that of the package's client; here each answer becomes
words.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

from duologue.base.exceptions import InvalidProxyStatus, ProxyError
from duologue.cli.check.answers import discard, read_answer
from duologue.cli.check.plan import Plan
from duologue.client.proxy import Proxy, prepare_connect_request
from duologue.client.socks import connect_socks

__all__ = ["reach_through"]

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def reach_through(proxy: Proxy, plan: Plan) -> Streams:
    """Opens a connection to the endpoint, without TLS yet.

    Args:
        proxy: The proxy.
        plan: What is checked.

    Raises:
        OSError: If the proxy can't be reached, or doesn't answer in time.
        ProxyError: If it refuses, or can't be understood.
        ImportError: If a package for it is missing.
    """
    try:
        async with asyncio.timeout(plan.patience):
            if proxy.is_socks:
                return await _through_socks(proxy, plan)
            return await _through_http(proxy, plan)
    except TimeoutError as error:
        if error.errno is not None:
            raise
        raise TimeoutError(str(error) or f"no answer within {plan.patience:g} s") from None


async def _through_socks(proxy: Proxy, plan: Plan) -> Streams:
    loop = asyncio.get_running_loop()
    sock = await connect_socks(loop, proxy, plan.uri.host, plan.uri.port, {})
    return await asyncio.open_connection(sock=sock)


async def _through_http(proxy: Proxy, plan: Plan) -> Streams:
    options: dict[str, Any] = {}
    if proxy.secure:
        options = {"ssl": ssl.create_default_context(), "server_hostname": proxy.host}
    reader, writer = await asyncio.open_connection(proxy.host, proxy.port, **options)
    try:
        writer.write(prepare_connect_request(proxy, plan.uri))
        try:
            response, octets = await read_answer(reader, plan.patience, head_only=True)
        except EOFError as error:
            raise ProxyError("the proxy ended TCP without an answer") from error
        if response is None:
            raise ProxyError(f"the proxy did not answer in HTTP: {octets[:40]!r}")
        if not 200 <= response.status_code < 300:
            raise InvalidProxyStatus(response)
    except BaseException:
        await discard(writer)
        raise
    return reader, writer
