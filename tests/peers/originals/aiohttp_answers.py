"""aiohttp: answers what is said, and ends when it is told to."""

from aiohttp import WSMsgType, web


async def talk(request: web.Request) -> web.WebSocketResponse:
    ws = web.WebSocketResponse(protocols=("answers",))
    await ws.prepare(request)
    async for message in ws:
        if message.type == WSMsgType.TEXT:
            if message.data == "close":
                await ws.close(code=4000, message=b"as you wish")
            else:
                await ws.send_str(f"{message.data}?")
        elif message.type == WSMsgType.BINARY:
            await ws.send_bytes(message.data[::-1])
    return ws


async def hello(request: web.Request) -> web.Response:
    return web.json_response({"hello": request.match_info["name"]})


app = web.Application()
app.add_routes([web.get("/ws", talk), web.get("/hello/{name}", hello)])

if __name__ == "__main__":
    web.run_app(app, port=8000)
