"""Sends every message back, and never compresses."""

from pywebsocket3 import msgutil


def web_socket_do_extra_handshake(request):
    """Refuses whatever extensions are offered."""
    request.ws_extension_processors = []
    if request.ws_requested_protocols:
        request.ws_protocol = request.ws_requested_protocols[0]


def web_socket_transfer_data(request):
    """Echoes until ``Goodbye`` or the peer's Close."""
    while (message := msgutil.receive_message(request)) is not None:
        msgutil.send_message(request, message, binary=isinstance(message, bytes))
        if message == "Goodbye":
            return
