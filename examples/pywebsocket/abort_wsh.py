"""Ends the TCP connection right after the 101, without a Close frame."""

from pywebsocket3 import handshake


def web_socket_do_extra_handshake(request):
    """Takes every connection."""


def web_socket_transfer_data(request):
    """Aborts: the peer sees code 1006."""
    raise handshake.AbortedByUserException("Aborted in web_socket_transfer_data")
