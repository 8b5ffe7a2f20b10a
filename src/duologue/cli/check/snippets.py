"""What to change in nginx, Caddy and HAProxy, by subject: text only.

The pages of ``docs/deploy`` show the same text, and a test holds them together; another one runs
nginx and HAProxy with it.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SERVERS", "SNIPPETS", "TOPICS", "Snippet"]

SERVERS = {"nginx": "nginx", "caddy": "Caddy", "haproxy": "HAProxy"}
"""The proxies there is advice for, and how they are written."""

TOPICS = {
    "upgrade": "The proxy must pass Upgrade and Connection on, and speak HTTP/1.1 to the server.",
    "idle": "Somebody cuts connections that are silent. Ping more often than that (with duologue: "
    "serve(ping_interval=…), 20 s by default), or let the proxy wait longer.",
    "origin": "A server that knows its users by cookies must check Origin (with duologue: "
    'serve(origins=["https://www.example.com"])); a proxy can do it too.',
    "certificate": "The certificate must be for this name, in time, and come with the "
    "intermediate certificates.",
    "backend": "The WebSocket server must run, and listen where the proxy looks for it.",
    "head": "The request's head must fit: cookies are what makes it long.",
}
"""The subjects of advice, and what holds whatever the proxy."""


@dataclass(frozen=True, slots=True)
class Snippet:
    """A piece of a proxy's configuration.

    Attributes:
        server: Which proxy, a key of :data:`SERVERS`.
        topic: What it is about, a key of :data:`TOPICS`.
        why: What to know of it, in a sentence or two.
        code: The configuration.
    """

    server: str
    topic: str
    why: str
    code: str


SNIPPETS = (
    Snippet(
        "nginx",
        "upgrade",
        "nginx speaks HTTP/1.0 to the server and drops Upgrade unless told otherwise.",
        """\
map $http_upgrade $connection_upgrade {
    default upgrade;
    ''      close;
}

server {
    listen 80;

    location / {
        proxy_pass http://127.0.0.1:8000;
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $connection_upgrade;
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
    }
}
""",
    ),
    Snippet(
        "nginx",
        "idle",
        "Beside proxy_pass. Each is 60 s by default, and any frame starts it anew.",
        """\
proxy_read_timeout 1h;
proxy_send_timeout 1h;
""",
    ),
    Snippet(
        "nginx",
        "origin",
        "The map belongs into http { … }, the rest beside proxy_pass. Programs send no Origin.",
        """\
map $http_origin $foreign_origin {
    default                 1;
    ''                      0;
    https://www.example.com 0;
}

if ($foreign_origin) {
    return 403;
}
""",
    ),
    Snippet(
        "nginx",
        "certificate",
        "In server { … }. The server's own certificate comes first in the file, then the "
        "intermediate ones.",
        """\
listen 443 ssl;
ssl_certificate     /etc/ssl/example.com/fullchain.pem;
ssl_certificate_key /etc/ssl/example.com/privkey.pem;
""",
    ),
    Snippet(
        "nginx",
        "backend",
        "Its error log says what it could not connect to.",
        """\
proxy_pass http://127.0.0.1:8000;
""",
    ),
    Snippet(
        "nginx",
        "head",
        "In server { … }. A header line must fit into one buffer, which has 8k by default.",
        """\
large_client_header_buffers 8 32k;
""",
    ),
    Snippet(
        "caddy",
        "upgrade",
        "Caddy passes upgrades on by itself: leave Upgrade and Connection out of header_up, and "
        "let the site's matchers cover the path.",
        """\
example.com {
    reverse_proxy 127.0.0.1:8000
}
""",
    ),
    Snippet(
        "caddy",
        "idle",
        "Caddy cuts no silent connections unless stream_timeout is set, and that counts silent or "
        "not. When its configuration is loaded anew it closes WebSockets, after a delay if asked "
        "(since 2.7).",
        """\
example.com {
    reverse_proxy 127.0.0.1:8000 {
        stream_close_delay 5m
    }
}
""",
    ),
    Snippet(
        "caddy",
        "origin",
        "Programs send no Origin, so only other values are refused.",
        """\
example.com {
    @foreign {
        header Origin *
        not header Origin https://www.example.com
    }
    respond @foreign 403
    reverse_proxy 127.0.0.1:8000
}
""",
    ),
    Snippet(
        "caddy",
        "certificate",
        "Caddy gets certificates by itself when the site's address is a public name. To use one of "
        "your own, with the intermediate ones in the file:",
        """\
example.com {
    tls /etc/ssl/example.com/fullchain.pem /etc/ssl/example.com/privkey.pem
    reverse_proxy 127.0.0.1:8000
}
""",
    ),
    Snippet(
        "caddy",
        "backend",
        "Its log says what it could not connect to.",
        """\
example.com {
    reverse_proxy 127.0.0.1:8000
}
""",
    ),
    Snippet(
        "caddy",
        "head",
        "Among the global options, at the top of the file. It is 1 MB by default.",
        """\
{
    servers {
        max_header_size 2MB
    }
}
""",
    ),
    Snippet(
        "haproxy",
        "upgrade",
        "HAProxy passes upgrades on in mode http, unless http-request del-header takes them away.",
        """\
frontend web
    mode http
    bind :80
    timeout client 30s
    default_backend websocket

backend websocket
    mode http
    timeout connect 5s
    timeout server 30s
    timeout tunnel 1h
    server app 127.0.0.1:8000
""",
    ),
    Snippet(
        "haproxy",
        "idle",
        "In the backend or in defaults. Once a connection is a WebSocket this replaces timeout "
        "client and timeout server, which hold if it is missing.",
        """\
timeout tunnel 1h
""",
    ),
    Snippet(
        "haproxy",
        "origin",
        "In the frontend. Programs send no Origin.",
        """\
acl from_a_browser req.hdr(Origin) -m found
acl from_our_pages req.hdr(Origin) https://www.example.com
http-request deny deny_status 403 if from_a_browser !from_our_pages
""",
    ),
    Snippet(
        "haproxy",
        "certificate",
        "In the frontend. The file has the server's own certificate, the intermediate ones and the "
        "private key.",
        """\
bind :443 ssl crt /etc/haproxy/example.com.pem alpn http/1.1
""",
    ),
    Snippet(
        "haproxy",
        "backend",
        "In the backend. With check, HAProxy answers 503 at once while nobody listens there.",
        """\
server app 127.0.0.1:8000 check
""",
    ),
    Snippet(
        "haproxy",
        "head",
        "In global. A request's head must fit into a buffer, which has 16 KiB by default, 1 KiB "
        "of it kept for rewriting.",
        """\
tune.bufsize 65536
""",
    ),
)
"""Every snippet, by proxy and then by subject."""
