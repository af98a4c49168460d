"""Sound of a transcription by its address: fetched from the public internet only, and bounded.

Every provider gets the bytes, so that none is told an address, and what a call may cost is known before it.
"""

from dataclasses import dataclass, field
from posixpath import basename
from urllib.parse import unquote, urlsplit

from genai_spine.errors import InvalidFields, InvalidRequest
from genai_spine.security.fetch import Fetcher, FetchFailed, Limits
from genai_spine.v1.media_service_pb2 import CreateTranscriptionRequest

FIELD = "audio_url"
MAX_BYTES = 100 << 20
TIMEOUT_S = 120.0
MAX_NAME = 256  # characters of a file's name, as the contract has it
DEFAULT_NAME = "audio"


def limits(*, is_private: bool) -> Limits:
    """Limits of a fetch. is_private: it may be in a private network, over http and at any port."""
    if not is_private:
        return Limits(total_s=TIMEOUT_S, max_bytes=MAX_BYTES)
    return Limits(TIMEOUT_S, MAX_BYTES, 3, ("https", "http"), range(1, 65_536), is_public_only=False)


@dataclass(frozen=True, slots=True)
class AudioUrls:
    """Fetching of the sound that requests name by an address."""

    fetcher: Fetcher = field(default_factory=lambda: Fetcher(limits(is_private=False)))

    async def with_sound(self, request: CreateTranscriptionRequest) -> CreateTranscriptionRequest:
        """The request with its sound, itself where that is in it.

        Errors: InvalidFields (data, filename, audio_url).
        """
        if not request.HasField(FIELD):
            missing = [name for name in ("data", "filename") if not getattr(request, name)]
            if missing:
                raise InvalidFields([(name, "is required") for name in missing])
            return request
        if request.data:
            raise InvalidFields([(FIELD, "cannot be used together with data")])
        whole = CreateTranscriptionRequest()
        whole.CopyFrom(request)
        whole.ClearField(FIELD)
        whole.data = await self._fetched(request.audio_url)
        whole.filename = request.filename or _name(request.audio_url)
        return whole

    async def _fetched(self, url: str) -> bytes:
        """Errors: InvalidFields (audio_url), also where it answers with no sound."""
        try:
            found = await self.fetcher.get(url, name=FIELD)
        except FetchFailed as error:
            raise InvalidFields([(FIELD, str(error).removeprefix(f"{FIELD}: "))]) from None
        except InvalidRequest as error:
            raise InvalidFields([(FIELD, error.metadata["problem"])]) from None
        if found.status != 200:
            raise InvalidFields([(FIELD, f"answers with HTTP status {found.status}")])
        if not found.body:
            raise InvalidFields([(FIELD, "is empty")])
        return found.body


def _name(url: str) -> str:
    """Name of the file that an address ends with."""
    name = basename(unquote(urlsplit(url).path))
    return "".join(char for char in name if char.isprintable())[-MAX_NAME:] or DEFAULT_NAME
