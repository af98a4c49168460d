"""Runs `genai-spine` with a profile hook, which records the calls of its package while it is asked to.

`python -P bench/probe.py TREE serve --port 0`. It imports nothing of the tree by name, so that it fits any
commit. "begin" on stdin starts a recording; "end" prints it as one line of JSON on stdout.
"""

import dis
import json
import runpy
import sys
import threading
from pathlib import Path
from types import CodeType, FrameType

RESUME = dis.opmap["RESUME"]
# Type of what an async generator hands to its reader; what it merely awaits is of other types.
WRAPPED = "async_generator_wrapped_value"


class Recording:
    """The calls of one package, each as [caller's file, file, task and function], in order."""

    def __init__(self, package: Path) -> None:
        self.package = f"{package}/"
        self.generated = f"{package}/v1/"
        self.active = False
        self.calls: list[tuple[str | None, str, str]] = []
        self.suspended: dict[FrameType, str] = {}  # async generators that wait until more is asked of them
        self.most_suspended: list[str] = []
        self.beneath: set[FrameType] = set()  # what runs the event loop: it calls no part of the request

    def begin(self) -> None:
        self.calls, self.most_suspended = [], []
        self.suspended.clear()
        self.beneath = {frame for top in sys._current_frames().values() for frame in _stack(top)}
        self.active = True

    def end(self) -> str:
        self.active = False
        return json.dumps({"calls": self.calls, "generators": self.most_suspended})

    def file_of(self, code: CodeType) -> str | None:
        """Path below the package; None: another's, or generated."""
        path = code.co_filename
        if not path.startswith(self.package) or path.startswith(self.generated):
            return None
        return path.removeprefix(self.package)

    def hook(self, frame: FrameType, event: str, value: object) -> None:
        """For sys.setprofile. A coroutine or generator that goes on is a "call" event, too."""
        if not self.active or event not in ("call", "return"):
            return
        code = frame.f_code
        file = self.file_of(code)
        if file is None:
            return
        if event == "call":
            self.suspended.pop(frame, None)
            if _begins(frame):
                callers = self._callers(frame)
                caller = self.file_of(callers[0]) if callers else None
                # The outermost one tells the server's own tasks from the request's.
                task = callers[-1].co_qualname if callers else ""
                self.calls.append((caller, file, f"{task} > {code.co_qualname}"))
        elif type(value).__name__ == WRAPPED and not _manages_context(frame):
            self.suspended[frame] = f"{file} {code.co_qualname}"
            # All of them wait only while the last one's reader writes the message.
            if len(self.suspended) > len(self.most_suspended):
                self.most_suspended = list(self.suspended.values())

    def _callers(self, frame: FrameType) -> list[CodeType]:
        """The package's own, the nearest first, also through a library; none: a library begins here."""
        callers = []
        for outer in _stack(frame.f_back):
            if outer in self.beneath:
                break
            if self.file_of(outer.f_code):
                callers.append(outer.f_code)
        return callers


def _manages_context(frame: FrameType) -> bool:
    """An async generator that `async with` runs hands on no items."""
    return frame.f_back is not None and frame.f_back.f_globals.get("__name__") == "contextlib"


def _stack(frame: FrameType | None) -> list[FrameType]:
    frames = []
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return frames


def _begins(frame: FrameType) -> bool:
    code, at = frame.f_code.co_code, frame.f_lasti
    return code[at] == RESUME and code[at + 1] & 3 == 0


def _obey(recording: Recording) -> None:
    for line in sys.stdin:
        if line == "begin\n":
            recording.begin()
            print("{}", flush=True)
        else:
            print(recording.end(), flush=True)


def main(tree: str, *arguments: str) -> None:
    recording = Recording(Path(tree) / "genai_spine")
    threading.Thread(target=_obey, args=(recording,), daemon=True).start()
    threading.setprofile(recording.hook)
    sys.setprofile(recording.hook)
    sys.argv = ["genai-spine", *arguments]
    runpy.run_module("genai_spine", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
