"""Switch: whose calls are logged."""

from collections.abc import Collection
from dataclasses import dataclass

from genai_spine.call import Principal


@dataclass(frozen=True, slots=True)
class LogSwitch:
    """A default, and what is said of single callers: of a key first, then of its tenant."""

    default: bool = False
    on: Collection[str] = ()  # tenants, and callers by their principal's name, as key:<id>
    off: Collection[str] = ()
    asks_keys: bool = False  # callers have keys, whose own option decides where nothing is said of them here

    @property
    def can_be_on(self) -> bool:
        """Whether somebody's calls may be logged at all."""
        return self.default or bool(self.on) or self.asks_keys

    def is_logged(self, principal: Principal) -> bool:
        """Whether calls of this principal are logged."""
        if self.on or self.off:
            for name in (principal.name, principal.tenant_id):
                if name in self.off:
                    return False
                if name in self.on:
                    return True
        return self.default if principal.is_logged is None else principal.is_logged
