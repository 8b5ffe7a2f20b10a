"""Moving octets: links, timers, dialling and listening. Knows nothing of WebSocket."""
