"""Takes connections of pages from ``http://example.com`` only; others are answered with 403."""

ORIGIN = "http://example.com"


def web_socket_do_extra_handshake(request):
    """Refuses by raising: whatever it is, the answer is 403."""
    if request.ws_origin != ORIGIN:
        raise ValueError(f"Unacceptable origin: {request.ws_origin!r}")


def web_socket_transfer_data(request):
    """Tells the page who it is."""
    request.ws_stream.send_message(f"origin_check_wsh.py is called for {request.ws_origin}")
