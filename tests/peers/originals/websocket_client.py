"""websocket-client: a short visit."""

import websocket


def visit(url):
    ws = websocket.create_connection(
        url, timeout=5, subprotocols=["chat.v1"], header={"X-Visitor": "ada"}
    )
    ws.send("hello")
    answer = ws.recv()
    ws.send_binary(b"\x00\x01")
    ws.ping("still there")
    ws.close(status=1000, reason=b"bye")
    return answer


if __name__ == "__main__":
    print(visit("ws://127.0.0.1:8000/"))
