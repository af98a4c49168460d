"""gRPC channel to a server of ours, by TLS where its address begins with https://."""

import asyncio
import os
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import grpc

# To a server of ours: grpc would else ask the proxy of http_proxy for it, loopback included.
DIRECT = (("grpc.enable_http_proxy", 0),)
HTTPS = "https://"
CA_FILE, CERTIFICATE, KEY = "GENAI_ADDRESS_CA_FILE", "GENAI_ADDRESS_CERTIFICATE", "GENAI_ADDRESS_KEY"
REFUSED = f"it ends the connection; it may want a client's certificate ({CERTIFICATE})"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def channel_to(
    address: str,
    interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
    variables: Mapping[str, str] = os.environ,
) -> grpc.aio.Channel:
    """Channel to host:port, or to https://host:port. Raises ValueError naming a file that cannot be read.

    variables: GENAI_ADDRESS_CA_FILE, in place of the authorities that grpc trusts, and the client's
    certificate, GENAI_ADDRESS_CERTIFICATE with GENAI_ADDRESS_KEY.
    """
    if not address.startswith(HTTPS):
        return grpc.aio.insecure_channel(
            address.removeprefix("http://"), options=DIRECT, interceptors=interceptors
        )
    if bool(variables.get(CERTIFICATE)) != bool(variables.get(KEY)):
        raise ValueError(f"{CERTIFICATE} and {KEY} belong together")
    credentials = grpc.ssl_channel_credentials(
        _content(variables, CA_FILE), _content(variables, KEY), _content(variables, CERTIFICATE)
    )
    return grpc.aio.secure_channel(
        address.removeprefix(HTTPS).rstrip("/"), credentials, options=DIRECT, interceptors=interceptors
    )


async def tls_problem(address: str, limit_s: float, variables: Mapping[str, str] = os.environ) -> str | None:
    """Why no TLS connection comes about; None: that is not the reason. grpc says it in its own log only."""
    if not address.startswith(HTTPS):
        return None
    try:
        host, port = urlsplit(address).hostname, urlsplit(address).port or 443
        context = ssl.create_default_context(cafile=variables.get(CA_FILE) or None)
        if variables.get(CERTIFICATE):
            context.load_cert_chain(variables[CERTIFICATE], variables.get(KEY))
        async with asyncio.timeout(limit_s):
            reader, writer = await asyncio.open_connection(host, port, ssl=context)
            writer.write(PREFACE)
            try:  # TLS 1.3 refuses a client's certificate after the client's side is done
                if not await reader.read(1):
                    return REFUSED
            finally:
                writer.close()
    except ssl.SSLCertVerificationError as error:
        return f"its certificate is not accepted: {error.verify_message}"
    except ssl.SSLError as error:
        return f"TLS fails: {(error.reason or str(error)).lower().replace('_', ' ')}"
    except (ConnectionResetError, BrokenPipeError):
        return REFUSED
    except (OSError, TimeoutError):
        return None
    return None


def _content(variables: Mapping[str, str], name: str) -> bytes | None:
    file = variables.get(name)
    if not file:
        return None
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise ValueError(f"{name}={file}: {error.strerror}") from None
