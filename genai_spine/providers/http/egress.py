"""Egress: how a provider is reached from this machine. Proxies, whom TLS trusts, who we say we are.

NO_PROXY is read as curl reads it (https://curl.se/docs/manpage.html#--noproxy, 2026-11-29), and blocks of
addresses with it. This machine itself is never asked by a proxy.
"""

import re
import ssl
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from socket import inet_aton
from urllib.parse import SplitResult, unquote, urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}
# Entry of NO_PROXY: a name, an address or a block of them, in brackets or not, with a port; also as a URL.
ENTRY = re.compile(
    r"(?:\w+://)?(?:\[(?P<bracketed>[^\]/]+)(?:/(?P<inner_bits>\d+))?\]|(?P<name>[^\[\]:/]+|[\da-f:.]+(?:%\w+)?))"
    r"(?:/(?P<bits>\d[\d.]*))?(?::(?P<port>\d+))?/?"
)


@dataclass(frozen=True, slots=True)
class Proxy:
    """HTTP proxy: where it listens, and the credentials it wants."""

    host: str
    port: int
    tls: bool = False  # it is spoken to by TLS, whatever goes through it
    authorization: str | None = field(default=None, repr=False)  # value of proxy-authorization

    @staticmethod
    def of(url: str) -> "Proxy":
        """Proxy of a URL such as http://user:word@proxy:3128. Raises ValueError, which does not repeat it."""
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            port = parts.port
        except ValueError:  # of the port, or of an IPv6 address
            raise ValueError("not the URL of a proxy, such as http://proxy.corp:3128") from None
        if parts.scheme not in DEFAULT_PORTS:
            raise ValueError(f"a proxy is http:// or https://; {parts.scheme}:// is not supported")
        if not parts.hostname:
            raise ValueError("not the URL of a proxy, such as http://proxy.corp:3128")
        tls = parts.scheme == "https"
        return Proxy(parts.hostname, port or DEFAULT_PORTS[parts.scheme], tls, _basic(parts))

    def __str__(self) -> str:
        return f"proxy {authority(self.host, self.port)}"


@dataclass(frozen=True, slots=True)
class Egress:
    """Way out to one provider. The default is a direct connection and the system's trust store."""

    http_proxy: str | None = field(default=None, repr=False)  # URL, for http:// addresses
    https_proxy: str | None = field(default=None, repr=False)  # URL, for https:// addresses
    no_proxy: str = ""  # hosts that are reached without: names, .names, addresses, blocks, each with :port; *
    ca_file: Path | None = None  # PEM; trusted besides the system's store
    client_certificate: Path | None = None  # PEM; who we are to the provider
    client_key: Path | None = None  # PEM, without passphrase; None: in the file of the certificate

    def by(self, proxy: str | None) -> "Egress":
        """The same way by this proxy for all addresses. None: by no proxy."""
        return replace(self, http_proxy=proxy, https_proxy=proxy)

    def check(self) -> None:
        """Raises ValueError for what cannot work: the URL of a proxy, or a file."""
        for url in {self.http_proxy, self.https_proxy} - {None}:
            Proxy.of(str(url))
        self.check_files()

    def check_files(self) -> None:
        """Raises ValueError naming the file."""
        if self.ca_file or self.client_certificate or self.client_key:
            self.tls()

    def proxy(self, scheme: str, host: str, port: int) -> Proxy | None:
        """Proxy for an address; None: it is reached directly. Raises ValueError."""
        url = self.https_proxy if scheme == "https" else self.http_proxy
        if not url or is_local(host) or _exempt(self.no_proxy, host, port):
            return None
        return Proxy.of(url)

    @property
    def variables(self) -> dict[str, str]:
        """Variables that say the same to a program of its own; empty where nothing is said."""
        proxies = {"HTTP_PROXY": self.http_proxy, "HTTPS_PROXY": self.https_proxy}
        found = {name: url for name, url in proxies.items() if url}
        if found and self.no_proxy:
            found["NO_PROXY"] = self.no_proxy
        return found | {name.lower(): value for name, value in found.items()}

    def tls(self) -> ssl.SSLContext:
        """TLS settings, made once for the same files. Raises ValueError naming the file."""
        files = (self.ca_file, self.client_certificate, self.client_key)
        store = ssl.get_default_verify_paths()  # SSL_CERT_FILE and SSL_CERT_DIR name another one
        return _context(files, tuple(_changed_at(file) for file in files), store)


def of_environment(variables: Mapping[str, str]) -> Egress:
    """Egress of HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, in lower case too, which wins."""

    def named(name: str) -> str | None:
        return variables.get(name.lower()) or variables.get(name) or None

    every = named("ALL_PROXY")
    return Egress(named("HTTP_PROXY") or every, named("HTTPS_PROXY") or every, named("NO_PROXY") or "")


def authority(host: str, port: int) -> str:
    """Host and port as URLs write them, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_local(host: str) -> bool:
    """Whether the host is this machine by its name or address."""
    name = host.rstrip(".").lower()
    address = _address(name)
    if address is None:
        return name == "localhost" or name.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def _basic(parts: SplitResult) -> str | None:
    if not parts.username and not parts.password:
        return None
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return f"Basic {b64encode(pair.encode()).decode()}"


def _exempt(no_proxy: str, host: str, port: int) -> bool:
    """Whether one of the entries, separated by commas, semicolons or spaces, names the host."""
    name = _ascii(host)
    return any(_names(_ascii(entry), name, port) for entry in re.split(r"[,;\s]+", no_proxy) if entry)


def _names(entry: str, host: str, port: int) -> bool:
    """Whether an entry of NO_PROXY names a host, by itself or as one of its domain or block."""
    found = ENTRY.fullmatch(entry)
    if found is None or (found["port"] and found["port"] != str(port)):
        return False
    name, address = found["bracketed"] or found["name"], _address(host)
    if bits := found["inner_bits"] or found["bits"]:
        try:
            return address is not None and address in ip_network(f"{name}/{bits}", strict=False)
        except ValueError:
            return False
    if name == "*":
        return True
    if address is not None:
        return address == _address(name)
    domain = name.removeprefix("*").strip(".")
    return bool(domain) and (host == domain or host.endswith(f".{domain}"))


def _ascii(name: str) -> str:
    """A host's name in small letters, without a dot at its end, those beyond ASCII as the DNS has them."""
    name = name.rstrip(".").lower()
    try:
        return name if name.isascii() else name.encode("idna").decode()
    except UnicodeError:
        return name


def _address(host: str) -> IPv4Address | IPv6Address | None:
    """IP address that a host is; None: it is a name. 127.1 and ::ffff:127.0.0.1 are 127.0.0.1."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        if not host[:1].isdigit():
            return None
        try:
            return IPv4Address(inet_aton(host))
        except OSError:
            return None
    return getattr(address, "ipv4_mapped", None) or address


def _changed_at(file: Path | None) -> int:
    """Time of the last change in ns: a renewed certificate is read by the next client that is made."""
    try:
        return file.stat().st_mtime_ns if file else 0
    except OSError as error:
        raise ValueError(f"{file}: {error.strerror}") from error


@lru_cache(64)
def _context(
    files: tuple[Path | None, ...], changed_at: tuple[int, ...], store: ssl.DefaultVerifyPaths
) -> ssl.SSLContext:
    """Context of CA file, certificate and key. Loading the system's certificates takes 50 ms."""
    ca_file, certificate, key = files
    context = ssl.create_default_context()
    if ca_file:
        try:
            context.load_verify_locations(ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ValueError(f"{ca_file}: no certificates in PEM: {error}") from error
    if certificate:
        try:
            context.load_cert_chain(certificate, key, _no_passphrase)
        except (OSError, ssl.SSLError) as error:
            raise ValueError(f"{certificate}: no certificate with its key in PEM: {error}") from error
    elif key:
        raise ValueError(f"{key}: a key without its certificate")
    return context


def _no_passphrase() -> str:
    """Called for an encrypted key, for which OpenSSL would else ask the terminal."""
    raise ValueError("the key has a passphrase; it must have none")
