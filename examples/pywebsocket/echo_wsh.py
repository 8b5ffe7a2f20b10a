"""Sends every message back, as text or binary as it came; after ``Goodbye`` it closes."""

from pywebsocket3 import msgutil

GOODBYE = "Goodbye"


def web_socket_do_extra_handshake(request):
    """Takes every connection, with the first subprotocol that is offered."""
    if request.ws_requested_protocols:
        request.ws_protocol = request.ws_requested_protocols[0]


def web_socket_transfer_data(request):
    """Runs in a thread of its own, so it may wait."""
    while True:
        message = msgutil.receive_message(request)
        if message is None:
            return
        msgutil.send_message(request, message, binary=isinstance(message, bytes))
        if message == GOODBYE:
            return
