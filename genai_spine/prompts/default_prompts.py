"""Default prompts of the service: YAML files, seeded into the database when a server starts."""

from functools import lru_cache
from importlib.resources import files
from uuid import NAMESPACE_URL, uuid5

import structlog

from genai_spine.call import DEFAULT_TENANT
from genai_spine.errors import PromptNotFound
from genai_spine.prompts import yaml_format
from genai_spine.prompts.editor import EDITABLE, PromptEditor, filled_in
from genai_spine.prompts.library import PromptLibrary
from genai_spine.store.prompts import Changes
from genai_spine.v1 import prompt_service_pb2 as pb

NOTES = "Came with a newer version of the service."

log = structlog.get_logger()


@lru_cache(maxsize=1)
def texts() -> list[str]:
    """YAML texts of the files, in the order of their names."""
    folder = files("genai_spine.prompts") / "defaults"
    found = sorted((file for file in folder.iterdir() if file.name.endswith(".yaml")), key=lambda f: f.name)
    return [file.read_text("utf-8") for file in found]


def drafts() -> list[pb.Prompt]:
    """Drafts of all default prompts; ids are derived from slugs, so all servers agree.

    Not checked: a test does that, and to compile their templates takes a fifth of a server's start.
    """
    found = [filled_in(prompt) for text in texts() for prompt in yaml_format.read(text)]
    for prompt in found:
        prompt.id = str(uuid5(NAMESPACE_URL, f"genai-spine:prompt:{prompt.slug}"))
        prompt.is_system = prompt.is_public = True
    return sorted(found, key=lambda prompt: prompt.id)  # every server locks in the same order


async def seed(prompts: PromptLibrary) -> None:
    """Seeding of missing or outdated default prompts in one transaction; servers may do it at once.

    Another prompt with the slug of a default one stays, and the default one waits.
    """
    editor = PromptEditor(prompts)
    wanted = drafts()
    there, _ = await prompts.rows.page(pb.ListPromptsRequest(is_system=True), DEFAULT_TENANT, 2**31)
    known = {prompt.id: prompt for prompt in there}
    missing = [prompt for prompt in wanted if not _is_same(prompt, known.get(prompt.id))]
    if not missing:
        return
    async with prompts.changing(DEFAULT_TENANT) as changes:
        for prompt in missing:
            await _put(editor, changes, prompt)


async def _put(editor: PromptEditor, changes: Changes, prompt: pb.Prompt) -> None:
    """Insert or update of one default prompt; a slug that is taken is logged."""
    if await changes.insert(prompt, or_leave=True):
        return
    try:
        stored = await changes.locked(prompt.id)
    except PromptNotFound:
        log.warning("prompt_not_shipped", slug=prompt.slug, cause="another prompt has its slug")
        return
    prompt.change_notes = NOTES
    await editor.changed(changes, stored, prompt, EDITABLE)


def _is_same(prompt: pb.Prompt, stored: pb.Prompt | None) -> bool:
    return stored is not None and yaml_format.entry(prompt) == yaml_format.entry(stored)
