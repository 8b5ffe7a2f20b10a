"""A short visit, as with websocket-client."""

from duologue.sync.client import connect


def visit(url):
    ws = connect(
        url, open_timeout=5, subprotocols=["chat.v1"], additional_headers={"X-Visitor": "ada"}
    )
    ws.send("hello")
    answer = ws.recv(timeout=5)
    ws.send(b"\x00\x01")
    ws.ping("still there")
    ws.close(1000, "bye")
    return answer


if __name__ == "__main__":
    print(visit("ws://127.0.0.1:8000/"))
