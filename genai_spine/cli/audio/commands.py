"""`genai-spine transcribe FILE`: recorded speech as text, by speaker or channel, or as subtitles."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from genai_spine.cli.capabilities import Model, Provider
from genai_spine.cli.client import connected
from genai_spine.cli.output import (
    DEFAULT_ADDRESS,
    Address,
    Json,
    Waiting,
    complain,
    fail,
    print_json,
    run,
    write,
)
from genai_spine.v1 import media_service_pb2 as pb
from genai_spine.v1.media_service_pb2_grpc import MediaServiceStub

Form = Literal["text", "srt", "vtt"]
URL_STARTS = ("https://", "http://")


def transcribe(
    file: Annotated[str, typer.Argument(help="File with the sound, or its https address.")],
    diarize: Annotated[bool, typer.Option("--diarize", help="Tell the speakers apart.")] = False,
    channels: Annotated[
        bool, typer.Option("--channels", help="Hear each channel by itself, which is paid for each.")
    ] = False,
    language: Annotated[
        str | None, typer.Option(help="Language, as en or en-GB. Default: it is found out.")
    ] = None,
    form: Annotated[Form, typer.Option("--format", help="Text, or subtitles in SubRip or WebVTT.")] = "text",
    smart: Annotated[bool, typer.Option("--smart", help="Numbers, dates and the like as written.")] = False,
    model: Model = None,
    provider: Provider = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Write down what is said in a recording, by speaker or channel, or as subtitles."""
    request = pb.CreateTranscriptionRequest(
        model=model,
        provider=provider,
        language=language,
        diarize=diarize or None,
        multichannel=channels or None,
        smart_format=smart or None,
        segments=(form != "text" or as_json) or None,
    )
    _add_sound(request, file)
    with Waiting("listening"):
        answer: pb.Transcription = run(_heard(request, address))
    if as_json:
        print_json(answer)
        return
    write(_shown(answer, form))
    seconds = f"{answer.audio_ms / 1000:.1f} s" if answer.HasField("audio_ms") else "length unknown"
    cost = f"{answer.cost.cost_usd:.6f} USD" if answer.cost.price_known else "cost unknown"
    complain(f"{answer.provider}:{answer.model}, {seconds}, {cost}")


def _add_sound(request: pb.CreateTranscriptionRequest, file: str) -> None:
    if file.startswith(URL_STARTS):
        request.audio_url = file
        return
    path = Path(file)
    try:
        request.data = path.read_bytes()
    except OSError as error:
        fail(error)
    request.filename = path.name
    if not request.data:
        fail(f"{file} is empty")


async def _heard(request: pb.CreateTranscriptionRequest, address: str) -> pb.Transcription:
    async with connected(address) as channel:
        answer: pb.Transcription = await MediaServiceStub(channel).CreateTranscription(request)
        return answer


def _shown(answer: pb.Transcription, form: Form) -> str:
    from genai_spine.openai_api.media_responses import TRANSCRIPTIONS

    if form == "text":
        return f"{answer.dialogue or answer.text}\n"
    return TRANSCRIPTIONS[form].write(answer, "transcribe").decode()
