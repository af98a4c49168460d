"""Names of models: whose model one means, as far as the name itself says it.

A name that stands for a model on the operator's own machines never leads to a provider outside, however
famous it is: OpenAI's weights run under `gpt-oss`, Mistral's under `mistral:7b`. So only names count as a
vendor's that its own API has, and a tag (`name:8b`) is Ollama's.
Sources, 2026-11-29: https://platform.openai.com/docs/models, https://docs.claude.com/en/docs/about-claude/models,
https://docs.aws.amazon.com/bedrock/latest/userguide/models-supported.html, https://ollama.com/library,
https://developers.deepgram.com/docs/models-languages-overview.
"""

import re

# First match wins; each matches the whole name.
OWNERS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"ft:.+", "openai"),  # a fine-tune has colons: ft:gpt-4o-mini-2024-07-18:org::id
        (r"(amazon|anthropic)\..+", "bedrock"),  # ids end in a version with a colon
        (r"[^:]+:.*", "ollama"),
        # Open weights and models of others whose names begin like OpenAI's stay out.
        (r"gpt-(?!oss\b|2\b|j\b|neo|jt\b|sw3\b).*", "openai"),
        (r"(o1|o3|o4)(-.*)?", "openai"),
        (r"chatgpt-.+", "openai"),
        (r"text-embedding-(3|ada)\b.*", "openai"),  # LM Studio has text-embedding-nomic-..., Google -004
        (r"dall-e-\d.*", "openai"),
        (r"(whisper|tts)-1\b.*", "openai"),  # whisper-large-v3 is a model of its open weights
        (r"claude-.+", "anthropic"),
        (r"nova-[23](-.+)?", "deepgram"),  # Amazon's of the same name begin with amazon.
    )
)
# Models of Ollama's library that begin like OpenAI's and may be called without a tag.
OPEN_WEIGHTS = re.compile(r"gpt-oss(-.+)?")
# A provider's name that is a model's in Ollama's library as well, and its tags there: latest, 7b-instruct.
LOCAL_TAGS = {"mistral": re.compile(r"latest|instruct|text|v\d.*|\d+(\.\d+)?b(-.*)?")}


def owner_of(model: str) -> str | None:
    """Provider whose model it is by its name, configured or not; None: the name does not say."""
    return next((name for pattern, name in OWNERS if pattern.fullmatch(model)), None)


def is_local_tag(prefix: str, rest: str) -> bool:
    """Whether `prefix:rest` is a local model and its tag, although the prefix is a provider's name, too."""
    tags = LOCAL_TAGS.get(prefix)
    return tags is not None and tags.fullmatch(rest) is not None
