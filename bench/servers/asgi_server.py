"""An ASGI application under duologue's own host."""

from __future__ import annotations

import importlib
from typing import Any

from common import argument_parser, our_compression, run, tls_context

import duologue.asgi


async def main(arguments: Any) -> None:
    """Serve until cancelled."""
    module, _, name = arguments.application.partition(":")
    app = getattr(importlib.import_module(module), name)
    options = our_compression(arguments) | {"ssl": tls_context(arguments.tls)}
    async with duologue.asgi.serve(app, "127.0.0.1", arguments.port, **options) as server:
        await server.serve_forever()


if __name__ == "__main__":
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--application", default="fastapi_application:app")
    parsed = parser.parse_args()
    run(main(parsed), parsed.loop)
