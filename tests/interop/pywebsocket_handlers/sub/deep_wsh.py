"""A handler below the root, which imports what it needs when it needs it."""


def web_socket_do_extra_handshake(request):
    pass


def web_socket_transfer_data(request):
    from pywebsocket3 import msgutil

    msgutil.send_message(request, "deep")
