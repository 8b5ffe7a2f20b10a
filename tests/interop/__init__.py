"""duologue in conversation with other implementations of WebSocket."""
