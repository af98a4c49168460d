"""Settings of which model answers, and what it is asked."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_settings import NoDecode

from genai_spine.routing.quality_tiers import NAMES as TIER_NAMES
from genai_spine.routing.router import Alias
from genai_spine.settings.aliases import alias
from genai_spine.settings.notation import named, names


class Models(BaseModel):
    """Names of models, their order, and rules of what they accept."""

    model_config = ConfigDict(arbitrary_types_allowed=True)  # enums of the contract

    default_provider: str = Field("ollama", description="Provider of a request that names none.")
    default_model: str | None = Field(
        None, description="Model of a request that names none; unset: the provider's own default."
    )
    model_aliases: Annotated[dict[str, Alias], NoDecode] = Field(
        {},
        description="Names for models: `fast=openai:gpt-4o-mini,local=ollama:llama3.2`, or JSON; "
        "see docs/routing.md.",
    )
    fallback_chain: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Providers, models or aliases to try when all others failed: `ollama,openai`."
    )
    quality_tiers: Annotated[dict[str, str], NoDecode] = Field(
        {}, description="Ranks of models: `gpt-4o=premium,llama3.2=economy`; others by their family."
    )
    behaviour: Path | None = Field(
        None, description="YAML file of rules of what models accept, that win over the behaviour book."
    )
    strict_options: bool = Field(
        False,
        description="Options that a model does not take are refused, in place of a warning.",
    )

    @field_validator("model_aliases", mode="before")
    @classmethod
    def _aliases(cls, value: Any) -> Any:
        pairs = named(value, "name=provider:model,name=provider:model|provider:model")
        return {name: alias(name, models) for name, models in pairs.items()}

    @field_validator("quality_tiers", mode="before")
    @classmethod
    def _tiers(cls, value: Any) -> Any:
        pairs = named(value, "model=economy,model=standard,model=premium")
        if wrong := [tier for tier in pairs.values() if not isinstance(tier, str) or tier not in TIER_NAMES]:
            raise ValueError(f"{wrong[0]!r} is not one of {', '.join(TIER_NAMES)}")
        return pairs

    @field_validator("fallback_chain", mode="before")
    @classmethod
    def _chain(cls, value: Any) -> Any:
        return names(value)
