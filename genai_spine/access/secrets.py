"""Root secret of the operator, and the keys that are derived from it, one for each purpose (HKDF, RFC 5869).

While it is rotated two are valid: the first one makes what is new, and both verify what is there.
"""

import base64
import binascii
import hashlib
import hmac
import os
import re
import secrets
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from genai_spine.store.database import sqlite_path

SECRET_BYTES = 32
FILE_NAME = "secret.key"
HEXADECIMAL = re.compile(r"[0-9a-fA-F]{64}")
MAX_SECRETS = 2
AUDIT = "audit"  # purpose: seals of the audit log
LEDGER = "ledger"  # purpose: hash chain of the ledger


MISSING = (
    "GENAI_AUTH=on needs a root secret: set GENAI_SECRET_KEY, or GENAI_SECRET_KEY_FILE to a file with it; "
    "`openssl rand -hex 32` makes one. With SQLite, `genai-spine migrate` makes one beside the database"
)


class RootSecret:
    """One secret, or two while it is rotated; the first one is the newer."""

    def __init__(self, values: Sequence[bytes]) -> None:
        self._values = tuple(values)

    def __repr__(self) -> str:
        return f"<RootSecret {len(self._values)}>"

    def keys(self, purpose: str) -> list[bytes]:
        """Keys of a purpose, 32 bytes each; the first one makes, all of them verify."""
        return [derived(value, purpose) for value in self._values]


def of_webhooks(root: RootSecret, tenant_id: str) -> list[bytes]:
    """Keys that messages to a tenant's webhooks are signed with: no tenant can sign those of another one."""
    return root.keys(f"webhooks of {tenant_id}")


def of_stored_answers(root: RootSecret, tenant_id: str) -> list[bytes]:
    """Keys that kept answers of a tenant are sealed with where they hold personal data."""
    return root.keys(f"kept messages of {tenant_id}")


def derived(secret: bytes, purpose: str) -> bytes:
    """Key of 32 bytes for one purpose: HKDF-SHA256 without a salt."""
    return hkdf(secret, f"genai-spine {purpose} v1".encode())


def hkdf(secret: bytes, info: bytes, salt: bytes = b"") -> bytes:
    """First 32 bytes of HKDF-SHA256 (https://www.rfc-editor.org/rfc/rfc5869, 2026-11-29)."""
    extracted = hmac.digest(salt or bytes(SECRET_BYTES), secret, hashlib.sha256)
    return hmac.digest(extracted, info + b"\x01", hashlib.sha256)


def parsed(text: str) -> RootSecret:
    """Root secret of a setting or a file: one, or two with a comma or a line feed between them.

    Each is 32 bytes, as 64 hexadecimal digits or as base64. Errors: ValueError, which does not repeat it.
    """
    words = [word for word in re.split(r"[\s,]+", text) if word]
    if not 1 <= len(words) <= MAX_SECRETS:
        raise ValueError(f"must be one secret, or two while it is rotated; it is {len(words)}")
    return RootSecret([_bytes_of(word) for word in words])


def _bytes_of(word: str) -> bytes:
    value = b""
    if HEXADECIMAL.fullmatch(word):
        value = bytes.fromhex(word)
    else:
        with suppress(binascii.Error, ValueError):
            value = base64.b64decode(word.replace("-", "+").replace("_", "/") + "=" * (-len(word) % 4))
    if len(value) != SECRET_BYTES:
        raise ValueError(
            "must be 32 bytes as 64 hexadecimal digits or base64; make one with `openssl rand -hex 32`"
        )
    return value


def found(value: str | None, file: Path | None, database: str) -> RootSecret | None:
    """Root secret of the settings: given, in a file, or beside an SQLite database; None: there is none.

    A database in memory is gone when its process ends, and so is its secret. Errors: OSError, ValueError.
    """
    if value is not None:
        try:
            return parsed(value)
        except ValueError as error:
            raise ValueError(f"GENAI_SECRET_KEY: {error}") from None
    if file is not None:
        return read(file)
    if database.partition("://")[0].startswith("sqlite") and sqlite_path(database) is None:
        return RootSecret([secrets.token_bytes(SECRET_BYTES)])
    path = beside(database)
    return read(path) if path is not None and path.exists() else None


def beside(database: str) -> Path | None:
    """File for the secret beside an SQLite database; None: the database is another one, or in memory."""
    path = sqlite_path(database)
    return None if path is None else path.parent / FILE_NAME


def read(path: Path) -> RootSecret:
    """Root secret of a file. Errors: OSError, ValueError; both name the file."""
    try:
        return parsed(path.read_text("ascii"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def create_beside(database: str) -> Path | None:
    """File of a new secret beside an SQLite database; None: it has one, or there is no place for it."""
    path = beside(database)
    return path if path is not None and create(path) else None


def create(path: Path) -> bool:
    """New secret in a file that only its owner reads, unless there is one: whether there was none.

    The file appears with all of its content, so of two processes at once the other one reads it whole.
    """
    if path.exists():
        return False
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, made = tempfile.mkstemp(dir=path.parent, prefix=f".{FILE_NAME}-")  # mode 0600
    try:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(SECRET_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(made, path)
    except FileExistsError:
        return False
    finally:
        os.unlink(made)
    return True
