"""Several workers under attack: ``python -m chaos.crew``, part of ``make chaos``.

Supervised workers serve topics. One publisher for each topic numbers its messages; listeners on
random workers check that no number comes twice or in the wrong order, and that none is missing
between two that came over one connection. Meanwhile workers are killed (SIGKILL), stopped for a
while (SIGSTOP) and renewed (SIGHUP), so is the hub process, clients stall, vanish and come in
storms (:mod:`chaos.storms`).

Then everything is left alone: what is published must reach everybody, presence must name exactly
those who are there, and storms must leave nothing behind. In the end the workers are renewed and
sent away under load (:mod:`chaos.streams`), and no process may be left.

What a publisher lost sight of, because its connection or its worker's broke, is *uncertain*: such a
number may be missing, or come late. A connection that was ended may have missed messages, so
numbers may jump from one connection to the next; workers that lost the bus end theirs for that.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import logging
import os
import sys
import tempfile
from pathlib import Path

from .aftermath import Aftermath
from .descriptors import allow
from .harm import Harm
from .processes import Crew
from .scene import Scene, running
from .verdict import Verdict, judge, options


async def chaos(scene: Scene, harm: Harm, aftermath: Aftermath) -> None:
    """Do harm, then look whether all is well again."""
    async with running(scene.listeners):
        await scene.until(scene.all_listen, "nobody listens")
        await aftermath.prepare()
        async with running(scene.stalled), scene.publishing():
            await harm.do(scene.chosen.seconds)
        for listener in scene.listeners:
            listener.calm = True
        await aftermath.settle()
        await aftermath.judge_presence()
        await aftermath.judge_memory()
        async with scene.publishing(), running(scene.streams):
            await aftermath.leave()
    if not scene.judge.messages:
        scene.wrong.append("nothing was published")


async def until_noticed(scene: Scene, harm: Harm, aftermath: Aftermath) -> None:
    """Stop as soon as something is wrong: with a planted fault that is all there is to see."""
    task = asyncio.create_task(chaos(scene, harm, aftermath))
    try:
        while not (scene.wrong or task.done()):
            await asyncio.sleep(0.1)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def run(chosen: argparse.Namespace, verdict: Verdict) -> None:
    """Start the workers, and let all loose."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as notes:
        environment = {"CREW_PLANT": chosen.plant or "", "CREW_NOTES": notes}
        async with Crew("chaos.crew_app:app", environment) as crew:
            print(f"supervisor {crew.pid}, port {crew.port}; {verdict.again}")
            scene = Scene(crew, chosen, verdict, Path(notes))
            play = until_noticed if chosen.plant else chaos
            await play(scene, Harm(scene, verdict), Aftermath(scene, verdict))


def main() -> int:
    """Return 0 if all is well."""
    parser = options("chaos.crew", "Several workers under attack.")
    parser.add_argument(
        "--storm",
        type=int,
        default=int(os.environ.get("SOAK_STORM", "10000")),
        help="clients of one storm, a thousand a second (SOAK_STORM, 10000 by default)",
    )
    parser.add_argument(
        "--plant",
        choices=["lost", "doubled", "reordered"],
        help="spoil one message of fifty, which must be noticed",
    )
    chosen = parser.parse_args()
    # That connections end is what this is about.
    logging.getLogger("duologue").setLevel(logging.CRITICAL)
    # Workers inherit it; with two of them gone one has all clients.
    allow(chosen.storm)
    verdict = Verdict("chaos.crew", chosen)
    return judge(verdict, functools.partial(run, chosen, verdict))


if __name__ == "__main__":
    sys.exit(main())
