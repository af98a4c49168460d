"""Template cache of prompts: compiled when they are saved, kept by content, rendered within limits."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from cachetools import LRUCache

from genai_spine.errors import InvalidTemplate, ServiceUnavailable
from genai_spine.prompts import variables
from genai_spine.prompts.sandbox import Template, TextRefused
from genai_spine.prompts.sandbox_process import Sandbox, SandboxBusy
from genai_spine.v1 import prompt_service_pb2 as pb

FIELDS = ("system_prompt", "user_prompt_template")
MAX_CACHED_CHARS = 8_000_000  # characters of all templates that are kept compiled
# Characters that a template may read in this process: 0.3 s at worst, 1 ms mostly. One that could read more
# goes to the sandbox's process, as does one whose work nothing bounds.
MAX_COST = 1_000_000


class TemplateFields(Protocol):
    """Protocol of messages with templates: pb.Prompt and pb.PromptVersion."""

    system_prompt: str
    user_prompt_template: str

    @property
    def variables(self) -> Sequence[pb.PromptVariable]: ...


class Templates:
    """LRU cache of compiled templates, up to MAX_CACHED_CHARS of source."""

    def __init__(self, sandbox: Sandbox | None = None) -> None:
        self.sandbox = sandbox or Sandbox()
        self._cache: LRUCache[tuple[str, tuple[str, ...]], Template] = LRUCache(
            MAX_CACHED_CHARS, getsizeof=lambda template: len(template.source) + 1000
        )

    def check(self, fields: TemplateFields) -> None:
        """Check of variables and templates.

        Raises InvalidFields (variables), InvalidTemplate (field, line, problem).
        """
        variables.check(fields.variables)
        for field in FIELDS:
            self._compiled(field, fields)

    async def rendered(self, field: str, fields: TemplateFields, values: Mapping[str, Any]) -> str:
        """Rendered field of a prompt. values: of variables.completed(); None stays undefined.

        Raises InvalidTemplate for a template that fails with these values or takes too much;
        ServiceUnavailable where the sandbox is busy.
        """
        template = self._compiled(field, fields)
        defined = {name: value for name, value in values.items() if value is not None}
        try:
            if template.cost(defined) > MAX_COST:
                return await self.sandbox.render(template.source, template.names, defined)
            return template.render(defined)
        except TextRefused as error:
            raise InvalidTemplate(field=field, problem=str(error)) from error
        except SandboxBusy as error:
            raise ServiceUnavailable(cause=str(error)) from error

    async def close(self) -> None:
        await self.sandbox.close()

    def _compiled(self, field: str, fields: TemplateFields) -> Template:
        """Compiled template of a field, from the cache or new. Raises InvalidTemplate."""
        source = getattr(fields, field)
        names = tuple(variable.name for variable in fields.variables)
        found = self._cache.get((source, names))
        if found is None:
            try:
                found = Template(source, names)
            except TextRefused as error:
                raise InvalidTemplate(field=field, problem=str(error)) from error
            if len(source) < MAX_CACHED_CHARS // 4:
                self._cache[source, names] = found
        return found
