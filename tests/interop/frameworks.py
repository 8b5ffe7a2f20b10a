"""The ASGI frameworks, each with the same small application: ``GET /hello`` and an echo at ``/ws``.

They are written as each framework's own documentation has it; nothing here knows who serves them.
"""

from __future__ import annotations

from typing import Any

# Here, since FastAPI looks for its annotations' names in the module.
from fastapi import FastAPI, WebSocket


def fastapi_app() -> Any:
    app = FastAPI()

    @app.get("/hello")
    async def hello(name: str) -> str:
        return f"hello {name}"

    @app.websocket("/ws")
    async def echo(ws: WebSocket) -> None:
        await ws.accept()
        async for text in ws.iter_text():
            await ws.send_text(text)

    return app


def starlette_app() -> Any:
    from starlette.applications import Starlette
    from starlette.endpoints import WebSocketEndpoint
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route, WebSocketRoute

    async def hello(request: Request) -> JSONResponse:
        return JSONResponse(f"hello {request.query_params['name']}")

    class Echo(WebSocketEndpoint):
        encoding = "text"

        async def on_receive(self, websocket: Any, data: Any) -> None:
            await websocket.send_text(data)

    return Starlette(routes=[Route("/hello", hello), WebSocketRoute("/ws", Echo)])


def litestar_app() -> Any:
    import litestar

    async def hello(name: str) -> str:
        return f"hello {name}"

    async def echo(data: str) -> str:
        return data

    hello.__annotations__ = {"name": str, "return": str}
    echo.__annotations__ = {"data": str, "return": str}
    # Its logging would put a handler of its own, with a thread, on the root logger for good.
    return litestar.Litestar(
        logging_config=None,
        route_handlers=[
            litestar.get("/hello")(hello),
            litestar.websocket_listener("/ws")(echo),
        ],
    )


def quart_app() -> Any:
    import quart

    app = quart.Quart("frameworks")

    @app.get("/hello")
    async def hello() -> Any:
        return quart.jsonify(f"hello {quart.request.args['name']}")

    @app.websocket("/ws")
    async def echo() -> None:
        while True:
            await quart.websocket.send(await quart.websocket.receive())

    return app


def channels_app() -> Any:
    import django
    from django.conf import settings

    if not settings.configured:
        settings.configure(
            SECRET_KEY="for tests", ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], DEBUG=False
        )
        django.setup()
    from channels.generic.websocket import AsyncWebsocketConsumer
    from channels.routing import ProtocolTypeRouter, URLRouter
    from django.core.asgi import get_asgi_application
    from django.urls import path

    class Echo(AsyncWebsocketConsumer):
        async def receive(self, text_data: Any = None, bytes_data: Any = None) -> None:
            await self.send(text_data=text_data, bytes_data=bytes_data)

    return ProtocolTypeRouter(
        {
            "http": get_asgi_application(),
            "websocket": URLRouter([path("ws", Echo.as_asgi())]),
        }
    )


def _django_urls() -> list[Any]:
    from django.http import JsonResponse
    from django.urls import path

    async def hello(request: Any) -> Any:
        return JsonResponse(f"hello {request.GET['name']}", safe=False)

    return [path("hello", hello)]


def __getattr__(name: str) -> Any:
    # What ROOT_URLCONF names; Django can only be asked for it once it is set up.
    if name == "urlpatterns":
        return _django_urls()
    raise AttributeError(name)


def socketio_app() -> Any:
    import socketio

    sio = socketio.AsyncServer(async_mode="asgi")

    @sio.event
    async def message(sid: str, data: Any) -> Any:
        await sio.emit("message", data, to=sid)

    return socketio.ASGIApp(sio, other_asgi_app=starlette_app())


FRAMEWORKS = {
    "fastapi": fastapi_app,
    "starlette": starlette_app,
    "litestar": litestar_app,
    "quart": quart_app,
    "channels": channels_app,
    "socketio": socketio_app,
}
