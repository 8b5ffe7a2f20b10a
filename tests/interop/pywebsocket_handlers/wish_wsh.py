"""Does what the request's query says: one handler feature each."""

import threading
from urllib.parse import unquote

from pywebsocket3 import common, handshake, msgutil, stream
from pywebsocket3.handshake import hybi


def wish(request):
    return unquote(request.ws_resource.partition("?")[2])


def web_socket_do_extra_handshake(request):
    said = wish(request)
    if said == "status":
        raise handshake.HandshakeException("no", status=404)
    if said == "any":
        raise KeyError("anything")
    if said == "abort":
        raise handshake.AbortedByUserException("gone")
    if said == "own answer":
        request.connection.write(b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\n\r\n")
        raise handshake.AbortedByUserException("answered")
    if said == "garbage":
        request.connection.write(b"FOO BAR BAZ\r\n\r\n")
    if said == "own 101":
        accept = hybi.compute_accept_from_unicode(
            request.headers_in.get(common.SEC_WEBSOCKET_KEY_HEADER)
        )
        request.connection.write(
            b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: %s\r\n\r\n" % accept
        )
        body = stream.create_closing_handshake_body(1001, "PASS")
        request.connection.write(stream.create_close_frame(body))
        raise handshake.AbortedByUserException("done")
    if said == "extra headers":
        request.extra_headers.append(("Set-Cookie", "a=b\r\nX-Second: c"))
    if said == "protocol unasked":
        request.ws_protocol = "x"
    if said == "protocol bad":
        request.ws_protocol = "x y"
    if said == "protocol none":
        request.ws_requested_protocols = None
    if said == "protocol first":
        request.ws_protocol = request.ws_requested_protocols[0]
    if said == "no extensions":
        request.ws_extension_processors = []
    for processor in request.ws_extension_processors:
        if said == "window":
            processor.set_client_max_window_bits(9)
        if said == "no context":
            processor.set_client_no_context_takeover(True)
    request.own_attribute = "kept"


def facts(request):
    headers = request.headers_in
    return [
        request.ws_resource,
        request.uri,
        request.unparsed_uri,
        request.method,
        request.protocol,
        request.is_https(),
        request.ws_origin,
        request.ws_version,
        request.ws_requested_protocols,
        request.ws_protocol,
        [processor.name() for processor in request.ws_extension_processors],
        request.ws_requested_extensions is None,
        request.ws_extensions is None,
        request.ws_close_code,
        request.ws_close_reason,
        request.extra_headers,
        headers.get("x-TEST"),
        headers.get("X-None", "default"),
        headers.get_all("X-Test"),
        "x-test" in headers,
        sorted(headers),
        request.connection.remote_addr[0],
        request.connection.get_memorized_lines()[0],
        request.client_terminated,
        request.server_terminated,
        request.own_attribute,
        type(request._dispatcher).__name__,
    ]


def web_socket_transfer_data(request):
    said = wish(request)
    talk = request.ws_stream
    if said == "plain":
        for processor in request.ws_extension_processors:
            if processor.is_active():
                processor.disable_outgoing_compression()
    if said == "facts":
        for fact in facts(request):
            talk.send_message(repr(fact))
    if said == "fragments":
        talk.send_message("a", end=False)
        talk.send_message("b", end=False)
        talk.send_message("c", end=True)
        talk.send_message(b"d", end=False, binary=True)
        talk.send_message(b"e", binary=True)
        talk.send_message(b"f", end=False, binary=True)
        talk.send_message("g")
    if said == "types":
        talk.send_message("text", binary=True)
    if said.startswith("close "):
        words = said.split(" ")
        code = None if words[1] == "None" else int(words[1])
        talk.close_connection(code, " ".join(words[2:]))
    if said == "close raw":
        request.connection.write(stream.create_close_frame(b"\x03\xe8bye"))
        raise handshake.AbortedByUserException("done")
    if said == "abort late":
        raise handshake.AbortedByUserException("gone")
    if said == "raise":
        raise ValueError("oops")
    if said == "after close":
        talk.close_connection()
        talk.send_message("late")
    if said == "after end":
        while msgutil.receive_message(request) is not None:
            pass
        msgutil.receive_message(request)
    if said == "ping":
        request.on_pong_handler = lambda request, body: talk.send_message(f"pong {body!r}")
        msgutil.send_ping(request, "hello")
        talk.receive_message()
    if said == "own pong":
        request.on_ping_handler = lambda request, body: talk.send_message(f"ping {body!r}")
        talk.receive_message()
    if said == "opcodes":
        while talk.receive_message() is not None:
            talk.send_message(str(talk.get_last_received_opcode()))
    if said == "raw":
        talk.send_message(repr(talk.receive_bytes(3)))
        talk.send_message(repr(request.connection.read(4)))
    if said == "filtered":
        frame = talk.receive_filtered_frame()
        talk.send_message(repr((frame.opcode, frame.fin, frame.payload)))
    if said == "many":
        for number in range(200):
            talk.send_message(b"\0" * 1000, binary=True)
            talk.send_message(str(number))
    if said == "receiver":
        receiver = msgutil.MessageReceiver(request)
        talk.send_message(f"got {receiver.receive()}")
        talk.send_message(f"got {receiver.receive()}")
        # Only then has it answered the Close.
        receiver.join(30)
    if said == "sender":
        sender = msgutil.MessageSender(request)
        sender.send("one")
        sender.send_nowait("two")
        sender.send("three")
    if said == "threads":
        others = [threading.Thread(target=talk.send_message, args=("x" * 100,)) for _ in range(10)]
        for other in others:
            other.start()
        for other in others:
            other.join()
    if said in ("echo", "plain", "window", "no context", "extra headers"):
        while (message := talk.receive_message()) is not None:
            talk.send_message(message, binary=isinstance(message, bytes))
    if said.startswith("passive"):
        talk.receive_message()


def web_socket_passive_closing_handshake(request):
    said = wish(request)
    if said == "passive abort":
        raise handshake.AbortedByUserException("abrupt")
    if said == "passive mirror":
        return request.ws_close_code, request.ws_close_reason
    if said == "passive empty":
        return None, None
    if said == "passive reason only":
        return None, "dropped"
    if said == "passive code":
        return 4001, "mine"
    return common.STATUS_NORMAL_CLOSURE, ""
