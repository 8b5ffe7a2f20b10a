"""Adds ``Strict-Transport-Security`` to the handshake, says ``Hello`` and closes."""


def web_socket_do_extra_handshake(request):
    """Adds the header."""
    request.extra_headers.append(("Strict-Transport-Security", "max-age=86400"))


def web_socket_transfer_data(request):
    """Says one word."""
    request.ws_stream.send_message("Hello")
