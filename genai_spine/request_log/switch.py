"""Switch: whose calls are logged."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from genai_spine.call import Principal


@dataclass(frozen=True, slots=True)
class LogSwitch:
    """A default, and what is said of single callers: of a key first, then of its tenant."""

    default: bool = False
    on: Collection[str] = ()  # tenants, and callers by their principal's name, as key:<id>
    off: Collection[str] = ()
    option_of: Callable[[Principal], bool | None] | None = None  # of the key or tenant itself; None: not said

    @property
    def can_be_on(self) -> bool:
        """Whether somebody's calls may be logged at all."""
        return self.default or bool(self.on) or self.option_of is not None

    def is_logged(self, principal: Principal) -> bool:
        """Whether calls of this principal are logged."""
        if self.on or self.off:
            for name in (principal.name, principal.tenant_id):
                if name in self.off:
                    return False
                if name in self.on:
                    return True
        if self.option_of is not None and (said := self.option_of(principal)) is not None:
            return said
        return self.default
