"""YAML format of prompts: a list, each with the fields of Prompt that a caller can set."""

import asyncio
from collections.abc import Iterable
from typing import Any

import yaml
from google.protobuf.json_format import ParseDict, ParseError

from genai_spine import validation
from genai_spine.errors import InvalidFields, ServiceUnavailable
from genai_spine.prompts import plain_yaml, variables
from genai_spine.prompts.editor import EDITABLE
from genai_spine.prompts.sandbox import TextRefused
from genai_spine.prompts.sandbox_process import Sandbox, SandboxBusy
from genai_spine.v1 import prompt_service_pb2 as pb

OLDER_KEYS = {  # which files of earlier days have: rest-v1.md
    "template": "user_prompt_template",
    "default_model": "preferred_model",
    "default_temperature": "temperature",
}
KEYS = frozenset((*EDITABLE, *OLDER_KEYS, "change_notes"))
ORDER = (
    *("slug", "name", "description", "category", "tags", "is_public"),
    *("preferred_provider", "preferred_model", "temperature", "max_tokens"),
    *("variables", "system_prompt", "user_prompt_template", "output_schema"),
)
MAX_PROMPTS = 1000  # prompts of one text


class _Dumper(yaml.SafeDumper):
    """Texts of several lines stand as they are, and nothing is written as an alias."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent_text)


def written(prompts: Iterable[pb.Prompt]) -> str:
    """YAML text of prompts."""
    return dumped([entry(prompt) for prompt in prompts])


def dumped(value: Any) -> str:
    """YAML text of a value, long texts as blocks."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def entry(prompt: pb.Prompt) -> dict[str, Any]:
    """Mapping of one prompt; unset fields are left out."""
    fields = variables.as_dict(prompt)
    return {name: fields[name] for name in ORDER if name in fields}


def read(text: str) -> list[pb.Prompt]:
    """Prompts of a YAML text of our own.

    Raises InvalidFields; a path begins with the prompt's place and slug: `yaml[2] (greet).name`.
    """
    try:
        return _prompts(plain_yaml.load(text))
    except TextRefused as error:
        raise InvalidFields([("yaml", str(error))]) from error


async def read_apart(text: str, sandbox: Sandbox) -> list[pb.Prompt]:
    """Prompts of a caller's YAML text: read() in the sandbox, off the event loop.

    Raises InvalidFields; ServiceUnavailable where the sandbox is busy.
    """
    try:
        listed = await sandbox.load_yaml(text)
    except TextRefused as error:
        raise InvalidFields([("yaml", str(error))]) from error
    except SandboxBusy as error:
        raise ServiceUnavailable(cause=str(error)) from error
    return await asyncio.to_thread(_prompts, listed)


def _prompts(listed: Any) -> list[pb.Prompt]:
    entries = [listed] if isinstance(listed, dict) else listed
    if not isinstance(entries, list) or not all(isinstance(fields, dict) for fields in entries):
        raise InvalidFields([("yaml", "must be a list of prompts")])
    if len(entries) > MAX_PROMPTS:
        raise InvalidFields([("yaml", f"must hold at most {MAX_PROMPTS} prompts, got {len(entries)}")])
    prompts, seen = [], set()
    for number, fields in enumerate(entries):
        place = f"yaml[{number}] ({str(fields.get('slug', 'no slug'))[:60]})"
        prompt = _prompt(fields, place)
        if prompt.slug in seen:
            raise InvalidFields([(f"{place}.slug", "stands there twice")])
        seen.add(prompt.slug)
        prompts.append(prompt)
    return prompts


def _prompt(fields: dict[str, Any], place: str) -> pb.Prompt:
    unknown = [str(name) for name in fields if name not in KEYS]
    if unknown:
        raise InvalidFields([(f"{place}.{unknown[0][:60]}", "is no field of a prompt")])
    prompt = pb.Prompt()
    try:
        ParseDict(fields, prompt)
        validation.check(prompt)
        _resolve_older_keys(prompt)
        return prompt
    except (ParseError, TypeError, ValueError) as error:
        raise InvalidFields([(place, str(error)[:300])]) from error
    except InvalidFields as error:
        raise InvalidFields([(f"{place}.{path}", problem) for path, problem in error.violations]) from error


def _resolve_older_keys(prompt: pb.Prompt) -> None:
    """Moves values to the fields of today. Raises InvalidFields where both keys are there and differ."""
    for older, name in OLDER_KEYS.items():
        if not prompt.HasField(older):
            continue
        value = getattr(prompt, older)
        if prompt.HasField(name) and getattr(prompt, name) != value:
            raise InvalidFields([(older, f"differs from {name}, which means the same")])
        setattr(prompt, name, value)
        prompt.ClearField(older)
