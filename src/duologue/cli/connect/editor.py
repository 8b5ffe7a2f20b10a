"""The line a person edits: prompt_toolkit, set up for messages.

Imported at a terminal only, and only if prompt_toolkit is there. It must never know what is sent,
or where to.

Enter sends, unless the text is JSON that goes on: then it begins a line; after an empty line it
sends in any case. Alt-Enter sends as well. Ctrl-C throws the text away, and without a text it is
the signal that it is outside of an editor. Ctrl-D without a text is the end of the input.

Invariant: the terminal is as it was whenever :meth:`Editor.texts` is not waiting, whatever ends it.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Iterator

from prompt_toolkit import PromptSession
from prompt_toolkit.filters import is_searching
from prompt_toolkit.formatted_text import ANSI
from prompt_toolkit.history import History as PromptHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import ColorDepth, Output, create_output

from duologue.cli.connect.history import History
from duologue.cli.connect.unfinished import goes_on
from duologue.cli.terminal import Colour

__all__ = ["Editor"]

_PROMPT = "> "
_CONTINUED = "| "


class Editor:
    """Texts that a person edits.

    Args:
        history: What was entered before, and where it goes.
        colours: Whether the prompt has a colour.
        complain: Called, once, if the history can't be read or written.
    """

    def __init__(self, history: History, *, colours: bool, complain: Callable[[str], None]) -> None:
        output = create_output(sys.stdout)
        _ask_no_position(output)
        self._session: PromptSession[str] = PromptSession(
            _formatted(_PROMPT, colours),
            history=_Remembered(history, complain),
            multiline=True,
            prompt_continuation=_formatted(_CONTINUED, colours),
            key_bindings=_keys(),
            enable_suspend=True,
            search_ignore_case=True,
            color_depth=None if colours else ColorDepth.DEPTH_1_BIT,
            output=output,
            reserve_space_for_menu=0,
        )

    async def texts(self) -> AsyncGenerator[str, None]:
        """Gives what is entered, until Ctrl-D."""
        with _typing_ahead():
            while True:
                try:
                    text = await self._session.prompt_async(
                        handle_sigint=False, set_exception_handler=False
                    )
                except EOFError:
                    return
                yield text

    def above(self, action: Callable[[], None]) -> None:
        """Calls a function that writes to the terminal, with the edited line out of its way.

        The terminal's mode stays as it is: prompt_toolkit's ``run_in_terminal`` would have it echo
        and interpret the keys that are hit meanwhile.

        Args:
            action: The function.
        """
        app = self._session.app
        if app.is_running:
            app.renderer.erase()
            action()
            if not app.is_done:  # else it draws the line for the last time, or has done so
                app.invalidate()
        else:
            action()


@contextlib.contextmanager
def _typing_ahead() -> Iterator[None]:
    """Keeps what is typed between two prompts for the next one, neither echoed nor interpreted.

    But for Ctrl-C, which must work while a message can't be sent.
    """
    try:
        import termios
    except ImportError:  # Windows' consoles keep keys anyway
        yield
        return
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    ahead = termios.tcgetattr(fd)
    ahead[0] &= ~(termios.ICRNL | termios.IXON)
    ahead[3] &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN)
    ahead[6][termios.VMIN], ahead[6][termios.VTIME] = 1, 0
    termios.tcsetattr(fd, termios.TCSANOW, ahead)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSANOW, before)


class _Remembered(PromptHistory):
    """The history as prompt_toolkit wants it: newest first."""

    def __init__(self, history: History, complain: Callable[[str], None]) -> None:
        super().__init__()
        self._history = history
        self._complain = complain
        self._broken = False

    def load_history_strings(self) -> list[str]:
        try:
            return self._history.load()[::-1]
        except OSError as error:
            self._report(error)
            return []

    def store_string(self, string: str) -> None:
        try:
            self._history.add(string.rstrip("\n"))
        except OSError as error:
            self._report(error)

    def _report(self, error: OSError) -> None:
        if not self._broken:
            self._broken = True
            self._complain(f"no history is kept in {self._history.path}: {error.strerror or error}")


def _formatted(text: str, colours: bool) -> str | ANSI:
    return ANSI(Colour.NOTICE.paint(text)) if colours else text


def _ask_no_position(output: Output) -> None:
    """Keeps it from asking the terminal where the cursor is, which serves menus; we have none.

    A terminal that does not answer would be complained about, and one that is slow would answer
    into the next program's input.
    """
    if hasattr(output, "enable_cpr"):
        output.enable_cpr = False


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("enter", filter=~is_searching)
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.document.is_cursor_at_the_end and goes_on(buffer.text):
            buffer.newline(copy_margin=False)
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @keys.add("c-c", filter=~is_searching)
    def _(event: KeyPressEvent) -> None:
        if event.current_buffer.text:
            event.current_buffer.reset()
        else:
            signal.raise_signal(signal.SIGINT)

    return keys
