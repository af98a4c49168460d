"""Source of the configuration: genai.yaml as it was read at one time, the same for every process."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from genai_spine.configuration.document import ConfigurationError, Fault, read_bytes
from genai_spine.configuration.public_address import configuration_path
from genai_spine.settings import environment

# Set by the supervisor for its servers: the file as it was when it was found valid, so that none of them
# reads a newer one that is not.
SNAPSHOT = "GENAI_CONFIG_SNAPSHOT"


@dataclass(frozen=True, slots=True)
class Source:
    """Content of genai.yaml, and settings that win over it."""

    path: Path | None = None  # None: there is no such file
    raw: bytes | None = field(default=None, repr=False)
    overrides: Mapping[str, Any] = field(default_factory=dict)  # by their names in Settings
    is_snapshot: bool = False  # found valid by the supervisor

    @classmethod
    def current(cls) -> Self:
        """Source of this process, read now. Raises ConfigurationError."""
        snapshot = os.environ.get(SNAPSHOT)
        return cls.of_snapshot(Path(snapshot)) if snapshot else cls._of_file()

    @classmethod
    def of(cls, path: Path) -> Self:
        """One file. Raises ConfigurationError."""
        return cls(path, read_bytes(path))

    @classmethod
    def _of_file(cls) -> Self:
        variables = environment()
        path = configuration_path(variables)
        if not path.exists():
            if variables.get("GENAI_CONFIG"):
                raise ConfigurationError([Fault("GENAI_CONFIG names no file", source=str(path))])
            return cls()
        return cls.of(path.absolute())

    @classmethod
    def of_snapshot(cls, path: Path) -> Self:
        """Snapshot as write_snapshot() wrote it. Raises ConfigurationError."""
        try:
            stored = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise ConfigurationError([Fault(f"cannot be read: {error}", source=str(path))]) from None
        text = stored["text"]
        raw = None if text is None else text.encode()
        return cls(stored["path"] and Path(stored["path"]), raw, stored["overrides"], is_snapshot=True)

    def write_snapshot(self, path: Path, overrides: Mapping[str, Any]) -> None:
        """Snapshot for server processes, in one step; only this user may read it."""
        text = None if self.raw is None else self.raw.decode("utf-8-sig")
        stored = {"path": self.path and str(self.path), "text": text, "overrides": dict(overrides)}
        fresh = path.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps(stored))
        fresh.replace(path)

    @property
    def says_anything(self) -> bool:
        """Whether the file is there, and has more than white space."""
        return bool(self.raw and self.raw.strip())

    @property
    def name(self) -> str:
        """Name of the file, for messages."""
        if self.path is None:
            return ""
        here = Path.cwd()
        return str(self.path.relative_to(here) if self.path.is_relative_to(here) else self.path)
