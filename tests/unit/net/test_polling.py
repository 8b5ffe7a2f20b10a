"""The C headers of the other systems: compiled, since they can't be run here.

What they need of those systems is declared in headers that the test writes.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import duologue.net

SOURCES = Path(duologue.net.__path__[0])
COMPILER = shutil.which("cc") or shutil.which("gcc")

EVENT_H = """
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#define EVFILT_READ (-1)
#define EVFILT_WRITE (-2)
#define EV_ADD 0x0001
#define EV_DELETE 0x0002
#define EV_EOF 0x8000
struct kevent {
    uintptr_t ident;
    int16_t filter;
    uint16_t flags;
    uint32_t fflags;
    intptr_t data;
    UDATA udata;
};
#define EV_SET(kevp, a, b, c, d, e, f) do { \\
    struct kevent *kevp_ = (kevp); \\
    kevp_->ident = (a); kevp_->filter = (b); kevp_->flags = (c); \\
    kevp_->fflags = (d); kevp_->data = (e); kevp_->udata = (f); \\
} while (0)
int kqueue(void);
int kevent(int, const struct kevent *, int, struct kevent *, int, const struct timespec *);
"""

USE = """
#include "polling.h"
#include "sockets.h"
int main(void)
{
    duologue_event events[4];
    int set = duologue_poll_make();
    duologue_ready ready;

    duologue_poll_add(set, 0, 1, DUOLOGUE_READABLE);
    duologue_poll_change(set, 0, 1, DUOLOGUE_READABLE, DUOLOGUE_WRITABLE);
    if (duologue_poll_wait(set, events, 4, 10) > 0) {
        ready = duologue_poll_says(&events[0]);
        duologue_poll_remove(set, ready.fd, DUOLOGUE_WRITABLE);
    }
    duologue_poll_close(set, 0);
    duologue_no_signal(set);
    duologue_no_delay(set);
    (void)DUOLOGUE_BACKEND;
    (void)DUOLOGUE_SEND_FLAGS;
    return duologue_accept(set);
}
"""


@pytest.mark.skipif(COMPILER is None, reason="needs a C compiler")
@pytest.mark.parametrize(
    ("options", "udata"),
    [
        pytest.param([], "void *", id="here"),
        pytest.param(["-DDUOLOGUE_KQUEUE"], "void *", id="kqueue"),
        pytest.param(
            ["-DDUOLOGUE_KQUEUE", "-DDUOLOGUE_UDATA=intptr_t"], "intptr_t", id="older NetBSD"
        ),
        pytest.param(["-DDUOLOGUE_KQUEUE", "-DDUOLOGUE_ACCEPT4=0"], "void *", id="no accept4"),
    ],
)
def test_the_headers_compile(tmp_path: Path, options: list[str], udata: str) -> None:
    (tmp_path / "sys").mkdir()
    (tmp_path / "sys" / "event.h").write_text(EVENT_H.replace("UDATA", udata))
    (tmp_path / "use.c").write_text(USE)
    assert COMPILER is not None
    flags = ["-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"]
    folders = [f"-I{tmp_path}", f"-I{SOURCES}"]
    command = [COMPILER, *flags, *folders, *options, str(tmp_path / "use.c")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_both_have_the_same_seven_functions() -> None:
    names = {"make", "close", "add", "change", "remove", "wait", "says"}
    for backend in ("polling_epoll.h", "polling_kqueue.h"):
        text = (SOURCES / backend).read_text()
        for name in names:
            assert text.count(f"duologue_poll_{name}(") >= 1, (backend, name)
