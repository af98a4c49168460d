"""REST aliases of prompts: older field names of Prompt, read into their fields and written beside them.

The pairs are rest-v1.md's; two names of one value must agree.
"""

from genai_spine.errors import InvalidFields
from genai_spine.v1 import prompt_service_pb2 as pb

ALIASES = {
    "template": "user_prompt_template",
    "default_model": "preferred_model",
    "default_temperature": "temperature",
}


def field_of(name: str) -> str:
    """Field that a name stands for; names that are no alias stand for themselves."""
    return ALIASES.get(name, name)


def resolve_aliases(patch: pb.Prompt) -> pb.Prompt:
    """Copy of a prompt without aliases: each value in its field. Raises InvalidFields where both differ."""
    prompt = pb.Prompt()
    prompt.CopyFrom(patch)
    for alias, name in ALIASES.items():
        if not patch.HasField(alias):
            continue
        if patch.HasField(name) and getattr(patch, name) != getattr(patch, alias):
            raise InvalidFields([(alias, f"differs from {name}, which means the same")])
        setattr(prompt, name, getattr(patch, alias))
        prompt.ClearField(alias)
    return prompt


def with_aliases(prompt: pb.Prompt) -> pb.Prompt:
    """The same prompt, each value also under its alias."""
    for alias, name in ALIASES.items():
        if prompt.HasField(name):
            setattr(prompt, alias, getattr(prompt, name))
    return prompt
