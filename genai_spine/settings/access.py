"""Settings of who may call: authentication, web pages."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, field_validator
from pydantic_settings import NoDecode

from genai_spine.origins import origin
from genai_spine.settings.notation import names


class Access(BaseModel):
    """Callers that are let in. Which hosts may be listened on without is a rule of Settings."""

    auth: Literal["on", "off"] | None = Field(
        None, description="`off` allows listening beyond loopback without authentication."
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Web pages that may call, beside those of this machine: "
        "`https://app.example.com,http://10.0.0.5:3000`; `*`: all.",
    )

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _origins_apart(cls, value: Any) -> Any:
        return names(value)

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(one if one == "*" else origin(one) for one in value)
