from genai_spine.v1 import field_rules_pb2 as _field_rules_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RoutingStrategy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROUTING_STRATEGY_UNSPECIFIED: _ClassVar[RoutingStrategy]
    ROUTING_STRATEGY_ORDER: _ClassVar[RoutingStrategy]
    ROUTING_STRATEGY_WEIGHTED: _ClassVar[RoutingStrategy]
    ROUTING_STRATEGY_COST_OPTIMIZED: _ClassVar[RoutingStrategy]
    ROUTING_STRATEGY_QUALITY: _ClassVar[RoutingStrategy]
    ROUTING_STRATEGY_SPEED: _ClassVar[RoutingStrategy]
    ROUTING_STRATEGY_LOCAL_FIRST: _ClassVar[RoutingStrategy]
    ROUTING_STRATEGY_ROUND_ROBIN: _ClassVar[RoutingStrategy]
    ROUTING_STRATEGY_BALANCED: _ClassVar[RoutingStrategy]

class QualityTier(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    QUALITY_TIER_UNSPECIFIED: _ClassVar[QualityTier]
    QUALITY_TIER_ECONOMY: _ClassVar[QualityTier]
    QUALITY_TIER_STANDARD: _ClassVar[QualityTier]
    QUALITY_TIER_PREMIUM: _ClassVar[QualityTier]
ROUTING_STRATEGY_UNSPECIFIED: RoutingStrategy
ROUTING_STRATEGY_ORDER: RoutingStrategy
ROUTING_STRATEGY_WEIGHTED: RoutingStrategy
ROUTING_STRATEGY_COST_OPTIMIZED: RoutingStrategy
ROUTING_STRATEGY_QUALITY: RoutingStrategy
ROUTING_STRATEGY_SPEED: RoutingStrategy
ROUTING_STRATEGY_LOCAL_FIRST: RoutingStrategy
ROUTING_STRATEGY_ROUND_ROBIN: RoutingStrategy
ROUTING_STRATEGY_BALANCED: RoutingStrategy
QUALITY_TIER_UNSPECIFIED: QualityTier
QUALITY_TIER_ECONOMY: QualityTier
QUALITY_TIER_STANDARD: QualityTier
QUALITY_TIER_PREMIUM: QualityTier

class Routing(_message.Message):
    __slots__ = ("strategy", "fallback_models", "no_fallback", "preferred_providers", "min_quality", "max_cost_usd", "hedge_after_ms", "max_cost_ticks", "residencies", "max_retention_days")
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_MODELS_FIELD_NUMBER: _ClassVar[int]
    NO_FALLBACK_FIELD_NUMBER: _ClassVar[int]
    PREFERRED_PROVIDERS_FIELD_NUMBER: _ClassVar[int]
    MIN_QUALITY_FIELD_NUMBER: _ClassVar[int]
    MAX_COST_USD_FIELD_NUMBER: _ClassVar[int]
    HEDGE_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    MAX_COST_TICKS_FIELD_NUMBER: _ClassVar[int]
    RESIDENCIES_FIELD_NUMBER: _ClassVar[int]
    MAX_RETENTION_DAYS_FIELD_NUMBER: _ClassVar[int]
    strategy: RoutingStrategy
    fallback_models: _containers.RepeatedScalarFieldContainer[str]
    no_fallback: bool
    preferred_providers: _containers.RepeatedScalarFieldContainer[str]
    min_quality: QualityTier
    max_cost_usd: float
    hedge_after_ms: int
    max_cost_ticks: int
    residencies: _containers.RepeatedScalarFieldContainer[str]
    max_retention_days: int
    def __init__(self, strategy: _Optional[_Union[RoutingStrategy, str]] = ..., fallback_models: _Optional[_Iterable[str]] = ..., no_fallback: _Optional[bool] = ..., preferred_providers: _Optional[_Iterable[str]] = ..., min_quality: _Optional[_Union[QualityTier, str]] = ..., max_cost_usd: _Optional[float] = ..., hedge_after_ms: _Optional[int] = ..., max_cost_ticks: _Optional[int] = ..., residencies: _Optional[_Iterable[str]] = ..., max_retention_days: _Optional[int] = ...) -> None: ...
