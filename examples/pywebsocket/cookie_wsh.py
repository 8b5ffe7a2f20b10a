"""Sets cookies with the handshake: ``/cookie?set``, ``?set_httponly`` or ``?clear``."""

from urllib.parse import urlsplit

COOKIES = {
    "set": ["foo=bar; Max-Age=86400"],
    "set_httponly": ["httpOnlyFoo=bar; Max-Age=86400; httpOnly"],
    "clear": ["foo=; Max-Age=0", "httpOnlyFoo=; Max-Age=0"],
}


def web_socket_do_extra_handshake(request):
    """Adds header lines to the 101."""
    for cookie in COOKIES.get(urlsplit(request.ws_resource).query, ()):
        request.extra_headers.append(("Set-Cookie", cookie))


def web_socket_transfer_data(request):
    """Closes at once, by returning."""
