"""An ``async def`` handler: sends a number now and then, and listens meanwhile.

It runs on an event loop of its own, where the methods of ``ws_stream`` are coroutines.
"""

import asyncio


def web_socket_do_extra_handshake(request):
    """Takes every connection."""


async def web_socket_transfer_data(request):
    """Counts, faster or slower as the peer says, until that closes."""
    stream, interval, number = request.ws_stream, 0.05, 0
    while True:
        number += 1
        await stream.send_message(str(number))
        try:
            message = await asyncio.wait_for(stream.receive_message(), interval)
        except TimeoutError:
            continue
        if message is None:
            return
        interval = max(0.01, float(message))
