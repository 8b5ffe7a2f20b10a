"""How many descriptors this process, and those it starts, may have."""

from __future__ import annotations

import resource

RESERVE = 500
"""Descriptors for all else."""


def allow(count: int) -> None:
    """Allow as many connections.

    Raises:
        SystemExit: If the system does not.
    """
    wanted = count + RESERVE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise SystemExit(f"{count} connections need {wanted} descriptors, ulimit -Hn is {hard}")
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
