"""A terminal of a given width, and a command of ours in it."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path
from time import monotonic
from typing import Self

from tests.acceptance.stack import ROOT, environment

PROMPT = re.compile(r"(?:^|[\r\n])> \Z")
LIMIT_S = 60.0  # only a fault takes this long
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]")


class Terminal:
    """`with Terminal("chat", "--address", ...) as terminal`: what the command writes, and keys for it."""

    def __init__(self, *arguments: str, width: int = 80, folder: Path = ROOT, **variables: str) -> None:
        self.arguments, self.width, self.folder = arguments, width, folder
        self.variables = {"TERM": "xterm"} | variables
        self.raw = ""

    def __enter__(self) -> Self:
        self.fd, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, self.width, 0, 0))
        given = environment(**self.variables)
        given.pop("COLUMNS", None)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "genai_spine", *self.arguments],
            env=given,
            cwd=self.folder,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            # Its own session, whose terminal this is: so Ctrl-C reaches it as a signal.
            preexec_fn=_take_terminal,
            start_new_session=True,
        )
        os.close(theirs)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.fd)

    @property
    def text(self) -> str:
        """What it wrote so far, without colours and moves of the cursor."""
        return ESCAPES.sub("", self.raw).replace("\r\n", "\n")

    def keys(self, keys: str) -> None:
        os.write(self.fd, keys.encode())

    def wait_for(self, words: str, times: int = 1) -> None:
        """Reads until the words stand there so often."""
        end = monotonic() + LIMIT_S
        while self.text.count(words) < times:
            assert self._read(end - monotonic()), f"{words!r} did not come, but\n{self.text}"

    def wait_for_prompt(self) -> None:
        """Reads until a line can be edited: what is typed before may be lost."""
        end = monotonic() + LIMIT_S
        while not PROMPT.search(self.text):
            assert self._read(end - monotonic()), f"no prompt came, but\n{self.text}"

    def give_up_line(self) -> None:
        """Ctrl-C in a line, to the next prompt.

        It is pressed again where nothing at all comes of it: CPython's readline misses a signal between its
        drawing of a key and its wait for the next one.
        """
        end = monotonic() + LIMIT_S
        self.keys("\x03")
        while not PROMPT.search(self.text):
            assert monotonic() < end, f"no prompt came, but\n{self.text}"
            if not self._read(2.0):
                self.keys("\x03")

    def end(self) -> int:
        """Reads to the end; exit status."""
        end = monotonic() + LIMIT_S
        while self._read(end - monotonic()):
            pass
        return self.process.wait(LIMIT_S)

    def _read(self, limit_s: float) -> bool:
        ready, _, _ = select.select([self.fd], [], [], max(0.0, limit_s))
        try:
            data = os.read(self.fd, 65536) if ready else b""
        except OSError:  # EIO: nobody has the other side open any more
            data = b""
        self.raw += data.decode(errors="replace")
        return bool(data)


def shown(*arguments: str, width: int, **variables: str) -> list[str]:
    """Lines that a command writes to a terminal, which it does not wrap by itself."""
    with Terminal(*arguments, width=width, **variables) as terminal:
        status = terminal.end()
        assert status == 0, terminal.text
        return terminal.text.split("\r")[-1].splitlines()


def _take_terminal() -> None:
    # A job that a script starts in the background ignores Ctrl-C, and so would all that it starts.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
