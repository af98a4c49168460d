import datetime

from genai_spine.v1 import field_rules_pb2 as _field_rules_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BudgetNode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BUDGET_NODE_UNSPECIFIED: _ClassVar[BudgetNode]
    BUDGET_NODE_TENANT: _ClassVar[BudgetNode]
    BUDGET_NODE_PROJECT: _ClassVar[BudgetNode]
    BUDGET_NODE_KEY: _ClassVar[BudgetNode]
    BUDGET_NODE_END_USER: _ClassVar[BudgetNode]
    BUDGET_NODE_LABEL: _ClassVar[BudgetNode]
    BUDGET_NODE_RUN: _ClassVar[BudgetNode]

class BudgetPeriod(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BUDGET_PERIOD_UNSPECIFIED: _ClassVar[BudgetPeriod]
    BUDGET_PERIOD_DAILY: _ClassVar[BudgetPeriod]
    BUDGET_PERIOD_WEEKLY: _ClassVar[BudgetPeriod]
    BUDGET_PERIOD_MONTHLY: _ClassVar[BudgetPeriod]
    BUDGET_PERIOD_TOTAL: _ClassVar[BudgetPeriod]

class BudgetPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BUDGET_POLICY_UNSPECIFIED: _ClassVar[BudgetPolicy]
    BUDGET_POLICY_WARN: _ClassVar[BudgetPolicy]
    BUDGET_POLICY_SOFT_BLOCK: _ClassVar[BudgetPolicy]
    BUDGET_POLICY_HARD_BLOCK: _ClassVar[BudgetPolicy]
    BUDGET_POLICY_FALLBACK: _ClassVar[BudgetPolicy]
BUDGET_NODE_UNSPECIFIED: BudgetNode
BUDGET_NODE_TENANT: BudgetNode
BUDGET_NODE_PROJECT: BudgetNode
BUDGET_NODE_KEY: BudgetNode
BUDGET_NODE_END_USER: BudgetNode
BUDGET_NODE_LABEL: BudgetNode
BUDGET_NODE_RUN: BudgetNode
BUDGET_PERIOD_UNSPECIFIED: BudgetPeriod
BUDGET_PERIOD_DAILY: BudgetPeriod
BUDGET_PERIOD_WEEKLY: BudgetPeriod
BUDGET_PERIOD_MONTHLY: BudgetPeriod
BUDGET_PERIOD_TOTAL: BudgetPeriod
BUDGET_POLICY_UNSPECIFIED: BudgetPolicy
BUDGET_POLICY_WARN: BudgetPolicy
BUDGET_POLICY_SOFT_BLOCK: BudgetPolicy
BUDGET_POLICY_HARD_BLOCK: BudgetPolicy
BUDGET_POLICY_FALLBACK: BudgetPolicy

class Budget(_message.Message):
    __slots__ = ("id", "tenant_id", "node", "node_key", "period", "limit_ticks", "policy", "warn_percent", "raise_ticks", "raise_end_time", "enabled", "revision", "create_time", "etag", "limit_usd", "raise_usd", "from_settings", "counter")
    ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    NODE_KEY_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    LIMIT_TICKS_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    WARN_PERCENT_FIELD_NUMBER: _ClassVar[int]
    RAISE_TICKS_FIELD_NUMBER: _ClassVar[int]
    RAISE_END_TIME_FIELD_NUMBER: _ClassVar[int]
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    LIMIT_USD_FIELD_NUMBER: _ClassVar[int]
    RAISE_USD_FIELD_NUMBER: _ClassVar[int]
    FROM_SETTINGS_FIELD_NUMBER: _ClassVar[int]
    COUNTER_FIELD_NUMBER: _ClassVar[int]
    id: int
    tenant_id: str
    node: BudgetNode
    node_key: str
    period: BudgetPeriod
    limit_ticks: int
    policy: BudgetPolicy
    warn_percent: int
    raise_ticks: int
    raise_end_time: _timestamp_pb2.Timestamp
    enabled: bool
    revision: int
    create_time: _timestamp_pb2.Timestamp
    etag: str
    limit_usd: float
    raise_usd: float
    from_settings: bool
    counter: BudgetCounter
    def __init__(self, id: _Optional[int] = ..., tenant_id: _Optional[str] = ..., node: _Optional[_Union[BudgetNode, str]] = ..., node_key: _Optional[str] = ..., period: _Optional[_Union[BudgetPeriod, str]] = ..., limit_ticks: _Optional[int] = ..., policy: _Optional[_Union[BudgetPolicy, str]] = ..., warn_percent: _Optional[int] = ..., raise_ticks: _Optional[int] = ..., raise_end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., enabled: _Optional[bool] = ..., revision: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., etag: _Optional[str] = ..., limit_usd: _Optional[float] = ..., raise_usd: _Optional[float] = ..., from_settings: _Optional[bool] = ..., counter: _Optional[_Union[BudgetCounter, _Mapping]] = ...) -> None: ...

class BudgetCounter(_message.Message):
    __slots__ = ("id", "budget_id", "node_key", "period_start_time", "limit_ticks", "spent_ticks", "reserved_ticks", "remaining_ticks", "limit_usd", "spent_usd", "reserved_usd", "remaining_usd", "used_percent", "period_end_time")
    ID_FIELD_NUMBER: _ClassVar[int]
    BUDGET_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_KEY_FIELD_NUMBER: _ClassVar[int]
    PERIOD_START_TIME_FIELD_NUMBER: _ClassVar[int]
    LIMIT_TICKS_FIELD_NUMBER: _ClassVar[int]
    SPENT_TICKS_FIELD_NUMBER: _ClassVar[int]
    RESERVED_TICKS_FIELD_NUMBER: _ClassVar[int]
    REMAINING_TICKS_FIELD_NUMBER: _ClassVar[int]
    LIMIT_USD_FIELD_NUMBER: _ClassVar[int]
    SPENT_USD_FIELD_NUMBER: _ClassVar[int]
    RESERVED_USD_FIELD_NUMBER: _ClassVar[int]
    REMAINING_USD_FIELD_NUMBER: _ClassVar[int]
    USED_PERCENT_FIELD_NUMBER: _ClassVar[int]
    PERIOD_END_TIME_FIELD_NUMBER: _ClassVar[int]
    id: int
    budget_id: int
    node_key: str
    period_start_time: _timestamp_pb2.Timestamp
    limit_ticks: int
    spent_ticks: int
    reserved_ticks: int
    remaining_ticks: int
    limit_usd: float
    spent_usd: float
    reserved_usd: float
    remaining_usd: float
    used_percent: float
    period_end_time: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[int] = ..., budget_id: _Optional[int] = ..., node_key: _Optional[str] = ..., period_start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., limit_ticks: _Optional[int] = ..., spent_ticks: _Optional[int] = ..., reserved_ticks: _Optional[int] = ..., remaining_ticks: _Optional[int] = ..., limit_usd: _Optional[float] = ..., spent_usd: _Optional[float] = ..., reserved_usd: _Optional[float] = ..., remaining_usd: _Optional[float] = ..., used_percent: _Optional[float] = ..., period_end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
