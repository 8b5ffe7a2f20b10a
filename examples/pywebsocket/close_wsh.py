"""Closes as it is told: ``4001 so long`` closes with that code and reason.

The peer's own Close frame is answered with the same code and reason.
"""

from pywebsocket3 import common, msgutil


def web_socket_do_extra_handshake(request):
    """Takes every connection."""


def web_socket_transfer_data(request):
    """Waits for a text with code and reason; ``-`` as code is for a frame without one."""
    while (line := msgutil.receive_message(request)) is not None:
        code, _, reason = line.partition(" ")
        request.ws_stream.close_connection(None if code == "-" else int(code), reason)
        return


def web_socket_passive_closing_handshake(request):
    """Mirrors code and reason; a frame without a code is answered by such a frame."""
    code, reason = request.ws_close_code, request.ws_close_reason
    return (None if code == common.STATUS_NO_STATUS_RECEIVED else code), reason
