"""TLS of the gRPC port: a renewed certificate counts for the connections that come after it.

Connections that stand keep the one that they began with, so that no call is cut.
"""

from time import monotonic

import grpc
import structlog

from genai_spine.security.certificates import ListenerCertificate, Pem

LOOK_S = 1.0  # seconds between two looks at the files, which the next connection waits for

log = structlog.get_logger()


def server_credentials(source: ListenerCertificate) -> grpc.ServerCredentials:
    """Credentials of a gRPC port. Raises ValueError naming the file that is wrong."""
    signature = source.signature()
    first = source.read()
    if warning := source.warning:
        log.warning("key_readable_by_all", cause=warning)
    renewal = _Renewal(source, signature)
    return grpc.dynamic_ssl_server_credentials(
        _configuration(first),
        renewal.newer,  # type: ignore[arg-type]  # None is what its documentation asks for
        require_client_authentication=source.client_ca is not None,
    )


class _Renewal:
    """Look at the files of a certificate, at most once in LOOK_S."""

    def __init__(self, source: ListenerCertificate, signature: object) -> None:
        self._source = source
        self._signature = signature
        self._next_look = monotonic() + LOOK_S

    def newer(self) -> grpc.ServerCertificateConfiguration | None:
        """Certificate that has been renewed; None: the one in force stays. Called before each handshake."""
        if monotonic() < self._next_look:
            return None
        self._next_look = monotonic() + LOOK_S
        try:
            signature = self._source.signature()
            if signature == self._signature:
                return None
            self._signature = signature
            latest = self._source.read()
        except ValueError as error:
            log.error("certificate_refused", cause=error.args[0], listener="grpc")  # of files, not of a call
            return None
        log.info("certificate_renewed", file=str(self._source.certificate), listener="grpc")
        return _configuration(latest)


def _configuration(pem: Pem) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(pem.key, pem.certificate)], pem.client_ca)
