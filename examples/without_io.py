"""Both ends of a conversation without any network: the protocol alone, for your own transport."""

from __future__ import annotations

from duologue import ClientProtocol, Frame, Request, Response, ServerProtocol
from duologue.uri import parse_uri

End = ClientProtocol | ServerProtocol


def carry(sender: End, receiver: End) -> list[object]:
    """Hands over what one end wants to send; returns what the other end makes of it."""
    for octets in sender.data_to_send():
        if octets:
            receiver.receive_data(octets)
        else:
            receiver.receive_eof()
    return list(receiver.events_received())


def main() -> None:
    client = ClientProtocol(parse_uri("ws://example.com/chat"))
    server = ServerProtocol()

    client.send_request(client.connect())
    [request] = carry(client, server)
    assert isinstance(request, Request)
    print("server got a request for", request.path)

    server.send_response(server.accept(request))
    [response] = carry(server, client)
    assert isinstance(response, Response)
    print("client got status", response.status_code)

    client.send_text(b"Hello!")
    [frame] = carry(client, server)
    assert isinstance(frame, Frame)
    print("server got", bytes(frame.data).decode())

    client.send_close(1000, "done")
    carry(client, server)
    carry(server, client)
    print("closed with", client.close_code)


if __name__ == "__main__":
    main()
