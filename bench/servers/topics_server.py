"""Topics with duologue: an application of one worker, or of several on the `local` backplane.

Whoever connects at ``/NUMBER`` is subscribed to that group's topics; whoever connects at
``/control`` says how many messages are to be published, to one topic after the other.
"""

from __future__ import annotations

import argparse
import itertools
from typing import Any

import duologue

MESSAGE = "x" * 32

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("port", type=int)
parser.add_argument("topics", type=int)
parser.add_argument("groups", type=int)
parser.add_argument("--workers", type=int, default=1)
parsed = parser.parse_args()
# No ping falls into a measurement; nor does one of the peers'.
app = duologue.App(compression=None, ping_interval=None)


@app.websocket("/{group}")
class Subscriber(duologue.Endpoint):  # type: ignore[misc]
    """One of a group, or the control."""

    def __init__(self) -> None:
        self.next = itertools.cycle([f"topic/{number}" for number in range(parsed.topics)])

    def on_open(self, ws: Any) -> None:
        """Subscribe."""
        group = ws.path_params["group"]
        if group != "control":
            for topic in range(int(group), parsed.topics, parsed.groups):
                ws.subscribe(f"topic/{topic}")

    def on_message(self, ws: Any, message: str) -> None:
        """Publish."""
        for _ in range(int(message)):
            app.publish(next(self.next), MESSAGE)


if __name__ == "__main__":
    # Servers are stopped while others are measured: no sign of life then.
    options = {"worker_timeout": None, "log_level": "warning"}
    app.run("127.0.0.1", parsed.port, workers=parsed.workers, **options)
