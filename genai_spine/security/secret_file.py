"""Secret in a file, as secret stores and container platforms hand it over."""

from pathlib import Path

MAX_BYTES = 64 << 10


def content(path: Path) -> str:
    """Secret of a file, without its last line end. Raises ValueError naming the file, never what it holds."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        text = raw.decode().rstrip("\r\n")
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: is not UTF-8") from None
    if len(raw) > MAX_BYTES:
        raise ValueError(f"{path}: holds more than {MAX_BYTES} bytes")
    if not text:
        raise ValueError(f"{path}: is empty")
    return text
