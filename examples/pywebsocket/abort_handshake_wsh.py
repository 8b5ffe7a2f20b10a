"""Ends the TCP connection before the 101."""

from pywebsocket3 import handshake


def web_socket_do_extra_handshake(request):
    """Aborts: the peer gets no answer at all."""
    raise handshake.AbortedByUserException("Aborted in web_socket_do_extra_handshake")


def web_socket_transfer_data(request):
    """Is never called."""
