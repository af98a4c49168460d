"""TLS of Envoy: what its listeners show, and how it reaches servers of other machines.

Envoy reads certificates by SDS from files. `up` gives it copies that were checked, in the folder of the run
that this user alone may read, and new ones when the files have changed: Envoy never sees half of a renewal,
nor a certificate that has expired. Connections that stand keep the certificate that they began with.
"""

import asyncio
import json
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import structlog

from genai_spine.security.certificates import ListenerCertificate, Pem, Signature, check_authorities

LOOK_S = 2.0  # seconds between two looks at the files
TLS_TYPES = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"
SERVER, CLIENTS = "server", "clients"  # names of the two secrets
PARAMETERS = {"tls_minimum_protocol_version": "TLSv1_2"}

Config = dict[str, Any]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ServerTrust:
    """How Envoy reaches servers by TLS: whose certificates it takes, and its own."""

    ca: Path
    certificate: Path | None = None
    key: Path | None = None

    def transport_socket(self, host: str, protocol: str = "h2") -> Config:
        """Transport socket of a cluster of servers at a host. Raises ValueError naming the wrong file.

        protocol: by its name in ALPN; "http/1.1": of HTTP servers.
        """
        check_authorities(self.ca)
        common: Config = {
            "alpn_protocols": [protocol],
            "tls_params": PARAMETERS,
            "validation_context": {
                "trusted_ca": _file(self.ca),
                "match_typed_subject_alt_names": [{"san_type": _san(host), "matcher": {"exact": host}}],
            },
        }
        if self.certificate is not None and self.key is not None:
            ListenerCertificate(self.certificate, self.key).read()
            pair = {"certificate_chain": _file(self.certificate), "private_key": _file(self.key)}
            common["tls_certificates"] = [pair]
        name = {"sni": host} if _san(host) == "DNS" else {}
        return _socket("UpstreamTlsContext", {**name, "common_tls_context": common})


class EdgeCertificate:
    """Certificate of Envoy's listeners, as files of SDS in a folder."""

    def __init__(self, source: ListenerCertificate, folder: Path) -> None:
        self.source = source
        self.folder = folder.absolute()
        self._signature: Signature = ()
        self._count = 0

    @property
    def transport_socket(self) -> Config:
        """Transport socket of every listener."""
        common: Config = {
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_params": PARAMETERS,
            "tls_certificate_sds_secret_configs": [self._subscription(SERVER)],
        }
        needs_client = self.source.client_ca is not None
        if needs_client:
            common["validation_context_sds_secret_config"] = self._subscription(CLIENTS)
        context = {"require_client_certificate": needs_client, "common_tls_context": common}
        return _socket("DownstreamTlsContext", context)

    def write(self) -> None:
        """Files of SDS with copies of the certificate as it is now. Raises ValueError."""
        self._signature = self.source.signature()
        pem = self.source.read()
        if warning := self.source.warning:
            log.warning("key_readable_by_all", cause=warning)
        self._copy(pem)

    def refer(self) -> None:
        """Files of SDS that name the files themselves, for an Envoy that runs elsewhere.

        It reads them again when they are moved into place. Raises ValueError naming what is wrong.
        """
        self.source.read()
        self.folder.mkdir(parents=True, exist_ok=True)
        watched = {"watched_directory": {"path": str(self.source.certificate.absolute().parent)}}
        self._secret(SERVER, "tls_certificate", _pair(self.source.certificate, self.source.key) | watched)
        if self.source.client_ca is not None:
            self._secret(CLIENTS, "validation_context", {"trusted_ca": _file(self.source.client_ca)})

    async def follow(self) -> None:
        """Renewals, until cancelled. What is wrong is logged, and the certificate in force stays."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                if await asyncio.to_thread(self._renew):
                    log.info("certificate_renewed", file=str(self.source.certificate), listener="public")
            except (ValueError, OSError) as error:
                log.error("certificate_refused", cause=str(error), listener="public")

    def _renew(self) -> bool:
        """Whether there is a new certificate, which Envoy then has. What is wrong is said once."""
        try:
            signature = self.source.signature()
        except ValueError:
            signature = ()
        if signature == self._signature:
            return False
        self._signature = signature
        self._copy(self.source.read())
        return True

    def _copy(self, pem: Pem) -> None:
        """Copies under new names, and then, in one step each, the files of SDS that name them."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        older = set(self.folder.glob("*.pem"))
        self._count += 1
        certificate, key = self._written("certificate", pem.certificate), self._written("key", pem.key)
        self._secret(SERVER, "tls_certificate", _pair(certificate, key))
        if pem.client_ca is not None:
            authorities = _file(self._written("clients", pem.client_ca))
            self._secret(CLIENTS, "validation_context", {"trusted_ca": authorities})
        for file in older:
            if not file.name.startswith(f"{self._count - 1}-"):  # Envoy may be reading those before
                file.unlink(missing_ok=True)

    def _written(self, name: str, content: bytes) -> Path:
        path = self.folder / f"{self._count}-{name}.pem"
        path.touch(mode=0o600)
        path.write_bytes(content)
        return path

    def _secret(self, name: str, kind: str, content: Config) -> None:
        resource = {"@type": f"{TLS_TYPES}.Secret", "name": name, kind: content}
        fresh = self.folder / f"{name}.new"
        fresh.write_text(json.dumps({"resources": [resource]}))
        fresh.replace(self.folder / f"{name}.json")

    def _subscription(self, name: str) -> Config:
        source = {
            "path_config_source": {"path": str(self.folder / f"{name}.json")},
            "resource_api_version": "V3",
        }
        return {"name": name, "sds_config": source}


def _socket(context: str, content: Config) -> Config:
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {"@type": f"{TLS_TYPES}.{context}", **content},
    }


def _pair(certificate: Path, key: Path) -> Config:
    return {"certificate_chain": _file(certificate), "private_key": _file(key)}


def _file(path: Path) -> Config:
    return {"filename": str(path.absolute())}


def _san(host: str) -> str:
    """Kind of name that a host is in a certificate."""
    try:
        ip_address(host)
    except ValueError:
        return "DNS"
    return "IP_ADDRESS"
