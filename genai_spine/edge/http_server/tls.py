"""TLS of the HTTP server: a renewed certificate counts for the connections that come after it."""

import ssl

import structlog

from genai_spine.security.certificates import ListenerCertificate

log = structlog.get_logger()


class ServedCertificate:
    """Certificate in force, and its context, which takes over a renewed one."""

    def __init__(self, source: ListenerCertificate) -> None:
        """Raises ValueError naming the file that is wrong."""
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.set_alpn_protocols(["http/1.1"])
        self._source = source
        self._signature = source.signature()
        self._load()

    def renew(self) -> None:
        """Look at the files; what has been replaced and is good counts from now on."""
        try:
            signature = self._source.signature()
            if signature == self._signature:
                return
            self._signature = signature
            self._load()
        except ValueError as error:
            log.error("certificate_refused", cause=error.args[0], listener="http")  # of files, not of a call
            return
        log.info("certificate_renewed", file=str(self._source.certificate), listener="http")

    def _load(self) -> None:
        self._source.read()
        self.context.load_cert_chain(self._source.certificate, self._source.key)
        if self._source.client_ca is not None:
            self.context.verify_mode = ssl.CERT_REQUIRED
            self.context.load_verify_locations(self._source.client_ca)
