"""Work of a body of OpenAI's API, for a caller who wants a run in the place of the answer."""

from collections.abc import Callable

from google.api.httpbody_pb2 import HttpBody

from genai_spine.call import Call
from genai_spine.errors import InvalidRequest
from genai_spine.openai_api import media, multipart, requests
from genai_spine.openai_api.admission import admit
from genai_spine.openai_api.admission import key_of as key_of
from genai_spine.openai_api.schemas import Embedding, Native, Text
from genai_spine.v1.work_pb2 import Work

NOT_ONE = "must be one prompt where a run is asked for"


def _chat(body: HttpBody, call: Call) -> Work:
    chat = requests.decode_chat(body.data)
    request = requests.chat_request(requests.fields(body.data), chat)
    admit(request, call)
    return Work(completion=request)


def _text(body: HttpBody, call: Call) -> Work:
    if requests.is_native(body.data):
        request = requests.native_request(requests.decode(body.data, Native))
    else:
        found = requests.text_requests(body.data, requests.decode(body.data, Text))
        if len(found) != 1:
            raise InvalidRequest(field="prompt", problem=NOT_ONE)
        (request,) = found
    admit(request, call)
    return Work(completion=request)


def _embedding(body: HttpBody, call: Call) -> Work:
    embedding = requests.decode(body.data, Embedding)
    request = requests.embedding_request(requests.fields(body.data), embedding)
    admit(request, call)
    return Work(embeddings=request)


def _image(body: HttpBody, call: Call) -> Work:
    request = media.image_request(body.data)
    admit(request, call)
    return Work(images=request)


def _speech(body: HttpBody, call: Call) -> Work:
    request = media.speech_request(body.data)
    admit(request, call)
    return Work(speech=request)


def _transcription(body: HttpBody, call: Call, *, translate: bool = False) -> Work:
    form = multipart.parse(body.data, body.content_type)
    request = media.transcription_request(form, timed=form.text("response_format") in media.TIMED)
    if translate:
        request.translate = True
    admit(request, call)
    return Work(transcription=request)


def _translation(body: HttpBody, call: Call) -> Work:
    return _transcription(body, call, translate=True)


# What reads the body of each method. Errors: InvalidRequest, InvalidFields.
READERS: dict[str, Callable[[HttpBody, Call], Work]] = {
    "CreateChatCompletion": _chat,
    "CreateTextCompletion": _text,
    "CreateEmbedding": _embedding,
    "CreateImage": _image,
    "CreateSpeech": _speech,
    "CreateTranscription": _transcription,
    "CreateTranslation": _translation,
}
