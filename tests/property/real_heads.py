"""Opening handshakes as clients in use send them, octet for octet but for the host and the key."""

from __future__ import annotations

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="


def head(*lines: str) -> bytes:
    """Join a request line and header lines."""
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode("latin-1")


CHROMIUM = head(
    "GET /chat?room=1 HTTP/1.1",
    "Host: localhost:8000",
    "Connection: Upgrade",
    "Pragma: no-cache",
    "Cache-Control: no-cache",
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/138.0.0.0 Safari/537.36",
    "Upgrade: websocket",
    "Origin: http://localhost:8000",
    "Sec-WebSocket-Version: 13",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Accept-Language: en-GB,en;q=0.9",
    "Cookie: session=0123456789abcdef; theme=dark",
    f"Sec-WebSocket-Key: {KEY.decode()}",
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
    "Sec-WebSocket-Protocol: chat, superchat",
)
FIREFOX = head(
    "GET / HTTP/1.1",
    "Host: example.com",
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept: */*",
    "Accept-Language: en-GB,en;q=0.5",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Sec-WebSocket-Version: 13",
    "Origin: https://example.com",
    "Sec-WebSocket-Extensions: permessage-deflate",
    f"Sec-WebSocket-Key: {KEY.decode()}",
    "Connection: keep-alive, Upgrade",
    "Sec-Fetch-Dest: empty",
    "Sec-Fetch-Mode: websocket",
    "Sec-Fetch-Site: same-origin",
    "Pragma: no-cache",
    "Cache-Control: no-cache",
    "Upgrade: websocket",
)
WEBSOCKETS = head(
    "GET / HTTP/1.1",
    "Host: 127.0.0.1:8000",
    "Upgrade: websocket",
    "Connection: Upgrade",
    f"Sec-WebSocket-Key: {KEY.decode()}",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
    "User-Agent: Python/3.11 websockets/15.0.1",
)
AIOHTTP = head(
    "GET /ws HTTP/1.1",
    "Host: 127.0.0.1:8000",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    f"Sec-WebSocket-Key: {KEY.decode()}",
    "Accept: */*",
    "Accept-Encoding: gzip, deflate",
    "User-Agent: Python/3.11 aiohttp/3.12.13",
)
PICOWS = head(
    "GET / HTTP/1.1",
    "Host: 127.0.0.1:8000",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    f"Sec-WebSocket-Key: {KEY.decode()}",
)
CURL = head(
    "GET /feed HTTP/1.1",
    "Host: localhost",
    "User-Agent: curl/8.14.1",
    "Accept: */*",
    "Upgrade: websocket",
    f"Sec-WebSocket-Key: {KEY.decode()}",
    "Sec-WebSocket-Version: 13",
    "Connection: Upgrade",
)
DUOLOGUE = head(
    "GET /a/b?c=d HTTP/1.1",
    "Host: localhost:8000",
    "Upgrade: websocket",
    "Connection: Upgrade",
    f"Sec-WebSocket-Key: {KEY.decode()}",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
    "User-Agent: Python/3.11 duologue/0.1.0",
)

HEADS = {
    "Chromium": CHROMIUM,
    "Firefox": FIREFOX,
    "websockets": WEBSOCKETS,
    "aiohttp": AIOHTTP,
    "picows": PICOWS,
    "curl": CURL,
    "duologue": DUOLOGUE,
}
