"""FastAPI: a chat whose visitors have numbers."""

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()
present: list[WebSocket] = []


async def tell_everybody(text: str) -> None:
    for websocket in present:
        await websocket.send_text(text)


@app.get("/count")
async def count() -> dict[str, int]:
    return {"present": len(present)}


@app.websocket("/chat/{number}")
async def chat(websocket: WebSocket, number: int) -> None:
    await websocket.accept()
    present.append(websocket)
    try:
        while True:
            text = await websocket.receive_text()
            await websocket.send_text(f"you: {text}")
            await tell_everybody(f"{number}: {text}")
    except WebSocketDisconnect:
        present.remove(websocket)
        await tell_everybody(f"{number} has left")
