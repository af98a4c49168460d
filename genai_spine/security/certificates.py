"""Certificate of a listener: chain, key and the CA of its clients, read from PEM files and checked.

What is wrong is found when it is read, and not by the first client: a key of another certificate, one that
has expired, a file that cannot be read. A renewed certificate is taken over only when it passes the same
checks.
"""

import ssl
import stat
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

ATTEMPTS = 3  # to read files that are being replaced
READABLE_BY_ALL = stat.S_IROTH | stat.S_IWOTH
NO_CERTIFICATE = "is no certificate in PEM"
# https://docs.openssl.org/3.0/man3/X509_STORE_CTX_get_error/ (2026-11-29)
DATES = {9: "is not valid yet", 10: "has expired"}

Signature = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Pem:
    """Content of the files of a listener's certificate."""

    certificate: bytes
    key: bytes = field(repr=False)
    client_ca: bytes | None = None


@dataclass(frozen=True, slots=True)
class ListenerCertificate:
    """Files of a listener's certificate.

    client_ca: clients must show a certificate of this CA; None: they need none.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(file for file in (self.certificate, self.key, self.client_ca) if file is not None)

    def signature(self) -> Signature:
        """Signature of the files, another one once a file is replaced or written to. Raises ValueError."""
        return tuple(_signature(file) for file in self.files)

    def read(self) -> Pem:
        """Content, checked. Raises ValueError naming the file and what is wrong with it."""
        for _ in range(ATTEMPTS):
            before = self._content()
            self.expires_at()
            if self.client_ca is not None:
                check_authorities(self.client_ca)
            if before == self._content():
                return before
        raise ValueError(f"{self.certificate}: changes while it is read")

    def expires_at(self) -> datetime:
        """End of the certificate's validity, UTC. Raises ValueError where it cannot be used now."""
        server = _server_context(self.certificate, self.key)
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname = False
        # The certificate is its own anchor: what is asked is whether it is valid, not who signed it.
        client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        client.load_verify_locations(self.certificate)
        try:
            shown = _handshake(server, client)
        except ssl.SSLCertVerificationError as error:
            problem = DATES.get(error.verify_code, error.verify_message)
            raise ValueError(f"{self.certificate}: {problem}") from None
        except ssl.SSLError as error:
            raise ValueError(f"{self.certificate}: no TLS with it: {error.reason}") from None
        return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(shown["notAfter"])), UTC)

    @property
    def warning(self) -> str | None:
        """Why the key is not as secret as it should be; None: it is."""
        if self.key.stat().st_mode & READABLE_BY_ALL:
            return f"{self.key} can be read by every user of this machine; run `chmod o-rwx {self.key}`"
        return None

    def _content(self) -> Pem:
        certificate, key = _bytes(self.certificate), _bytes(self.key)
        return Pem(certificate, key, None if self.client_ca is None else _bytes(self.client_ca))


def check_authorities(file: Path) -> None:
    """Raises ValueError where the file holds no certificate of an authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _bytes(file)
    try:
        context.load_verify_locations(file)
    except ssl.SSLError:
        raise ValueError(f"{file}: {NO_CERTIFICATE}") from None
    if not context.cert_store_stats()["x509"]:
        raise ValueError(f"{file}: {NO_CERTIFICATE}")


def _server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Context of certificate and key. Raises ValueError naming the file that is to blame."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for file in (certificate, key):
        _bytes(file)
    check_authorities(certificate)
    try:
        context.load_cert_chain(certificate, key, _no_passphrase)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ValueError(f"{key}: is not the key of {certificate}") from None
        raise ValueError(f"{key}: is no private key in PEM") from None
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None
    return context


def _no_passphrase() -> str:
    """Called for an encrypted key, for which OpenSSL would else ask the terminal."""
    raise ValueError("has a passphrase; it must have none")


def _handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> dict[str, object]:
    """Certificate that the client sees, by a handshake in memory. Raises ssl.SSLError."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(to_server, to_client, server_side=True)
    theirs = client.wrap_bio(to_client, to_server)
    waiting = [theirs, ours]
    while waiting:
        for one in tuple(waiting):
            try:
                one.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(one)
    return dict(theirs.getpeercert() or {})


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ValueError(f"{file}: {error.strerror}") from None


def _signature(file: Path) -> tuple[int, int, int]:
    try:
        found = file.stat()
    except OSError as error:
        raise ValueError(f"{file}: {error.strerror}") from None
    return found.st_ino, found.st_size, found.st_mtime_ns
