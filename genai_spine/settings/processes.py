"""Settings of the server's processes: how many, what they log, how they stop."""

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, field_validator
from pydantic_settings import NoDecode

from genai_spine.settings.notation import named, names

LANE_NAME = re.compile("[a-z0-9-]{1,32}")
Lane = Literal["cpu", "gpu", "batch"]


class Processes(BaseModel):
    """Processes of this server and their logs."""

    processes: int = Field(1, ge=1, le=256, description="Server processes, one port each.")
    lane: Lane = Field("cpu", description="Lane that this server serves.")
    run_lanes: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Lanes whose runs this process makes, with commas between them. Default: GENAI_LANE."
    )
    run_other_lanes: bool | None = Field(
        None,
        description="Runs of lanes that no other worker names are made as well. Default: true on lane cpu "
        "where GENAI_RUN_LANES is not set.",
    )
    lane_fallback: Literal["cpu", "refuse"] = Field(
        "cpu",
        description="What becomes of embeddings and images that are submitted as runs without a lane while "
        "no worker serves lane gpu: lane cpu makes them, or they are refused.",
    )
    run_concurrency: int = Field(
        32, ge=0, le=10_000, description="Runs that a process makes at once. 0: it makes none."
    )
    run_lane_limits: Annotated[dict[str, int], NoDecode] = Field(
        {},
        description="Most runs of a lane that run at once, of all processes that share the database: "
        "`gpu=2,batch=16`, or JSON; further ones wait. Lanes that are not named have no limit.",
    )
    provider_batch_poll_s: float = Field(
        15.0,
        ge=0.05,
        le=600,
        description="Seconds between two looks at a provider's batch that items of a run were sent in.",
    )
    provider_batch_grace_s: float = Field(
        300.0,
        ge=0.05,
        le=3600,
        description="Seconds in which a batch whose making nobody heard of is looked for at its provider, "
        "which may list it late, before its items are sent again.",
    )
    run_webhook_private: bool = Field(
        False, description="Webhooks of runs may be in a private network, or on this machine, and over http."
    )
    audio_url_private: bool = Field(
        False,
        description="`audio_url` of a transcription may be in a private network, or on this machine, and "
        "over http.",
    )
    debug: bool = Field(False, description="Log level DEBUG.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least level logged.")
    drain_delay: float = Field(
        2.0, ge=0, description="Seconds in which Envoy hears of a stop, before connections are closed."
    )
    drain_timeout: float = Field(60.0, ge=0, description="Seconds that running calls get when it stops.")
    restart_drain_timeout: float = Field(
        600.0,
        ge=0,
        description="Seconds that processes get to end their calls and runs, once `genai-spine restart` "
        "has replaced them.",
    )
    health_timeout: float = Field(
        30.0,
        ge=1,
        le=86400,
        description="Seconds without an answer to health checks, after which a process is replaced.",
    )

    @field_validator("run_lanes", mode="before")
    @classmethod
    def _lanes_apart(cls, value: Any) -> Any:
        return names(value)

    @field_validator("run_lane_limits", mode="before")
    @classmethod
    def _limits_by_lane(cls, value: Any) -> Any:
        return named(value, "lane=number,lane=number")

    @field_validator("run_lane_limits")
    @classmethod
    def _limits_of_lanes(cls, value: dict[str, int]) -> dict[str, int]:
        for name, most in value.items():
            if not LANE_NAME.fullmatch(name):
                raise ValueError(f"'{name}' is no lane: 1 to 32 of a-z, 0-9 and -")
            if most < 1:
                raise ValueError(f"{name}={most}: the least is 1")
        return value

    @field_validator("run_lanes")
    @classmethod
    def _lanes_named(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not LANE_NAME.fullmatch(name):
                raise ValueError(f"'{name}' is no lane: 1 to 32 of a-z, 0-9 and -")
        return value
