"""Closes with code 1011."""

from pywebsocket3 import msgutil


def web_socket_do_extra_handshake(request):
    """Takes every connection."""


def web_socket_transfer_data(request):
    """Does what can't be done."""
    raise msgutil.BadOperationException("Intentional")
