from genai_spine.v1 import access_rules_pb2 as _access_rules_pb2
from genai_spine.v1 import budget_pb2 as _budget_pb2
from genai_spine.v1 import field_rules_pb2 as _field_rules_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SetBudgetRequest(_message.Message):
    __slots__ = ("budget", "update_mask")
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    budget: _budget_pb2.Budget
    update_mask: _field_mask_pb2.FieldMask
    def __init__(self, budget: _Optional[_Union[_budget_pb2.Budget, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class GetBudgetRequest(_message.Message):
    __slots__ = ("budget_id",)
    BUDGET_ID_FIELD_NUMBER: _ClassVar[int]
    budget_id: int
    def __init__(self, budget_id: _Optional[int] = ...) -> None: ...

class ListBudgetsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "all_tenants", "node", "node_key")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    ALL_TENANTS_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    NODE_KEY_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    all_tenants: bool
    node: _budget_pb2.BudgetNode
    node_key: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., all_tenants: _Optional[bool] = ..., node: _Optional[_Union[_budget_pb2.BudgetNode, str]] = ..., node_key: _Optional[str] = ...) -> None: ...

class ListBudgetsResponse(_message.Message):
    __slots__ = ("budgets", "next_page_token")
    BUDGETS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    budgets: _containers.RepeatedCompositeFieldContainer[_budget_pb2.Budget]
    next_page_token: str
    def __init__(self, budgets: _Optional[_Iterable[_Union[_budget_pb2.Budget, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListBudgetCountersRequest(_message.Message):
    __slots__ = ("budget_id", "page_size", "page_token")
    BUDGET_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    budget_id: int
    page_size: int
    page_token: str
    def __init__(self, budget_id: _Optional[int] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListBudgetCountersResponse(_message.Message):
    __slots__ = ("counters", "next_page_token")
    COUNTERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    counters: _containers.RepeatedCompositeFieldContainer[_budget_pb2.BudgetCounter]
    next_page_token: str
    def __init__(self, counters: _Optional[_Iterable[_Union[_budget_pb2.BudgetCounter, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteBudgetRequest(_message.Message):
    __slots__ = ("budget_id", "etag")
    BUDGET_ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    budget_id: int
    etag: str
    def __init__(self, budget_id: _Optional[int] = ..., etag: _Optional[str] = ...) -> None: ...

class DeleteBudgetResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetBudgetStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class BudgetLevel(_message.Message):
    __slots__ = ("limit_ticks", "used_ticks", "remaining_ticks", "limit_usd", "used_usd", "remaining_usd", "used_percent", "policy", "limit", "used", "remaining", "percentage_used")
    LIMIT_TICKS_FIELD_NUMBER: _ClassVar[int]
    USED_TICKS_FIELD_NUMBER: _ClassVar[int]
    REMAINING_TICKS_FIELD_NUMBER: _ClassVar[int]
    LIMIT_USD_FIELD_NUMBER: _ClassVar[int]
    USED_USD_FIELD_NUMBER: _ClassVar[int]
    REMAINING_USD_FIELD_NUMBER: _ClassVar[int]
    USED_PERCENT_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    USED_FIELD_NUMBER: _ClassVar[int]
    REMAINING_FIELD_NUMBER: _ClassVar[int]
    PERCENTAGE_USED_FIELD_NUMBER: _ClassVar[int]
    limit_ticks: int
    used_ticks: int
    remaining_ticks: int
    limit_usd: float
    used_usd: float
    remaining_usd: float
    used_percent: float
    policy: _budget_pb2.BudgetPolicy
    limit: float
    used: float
    remaining: float
    percentage_used: float
    def __init__(self, limit_ticks: _Optional[int] = ..., used_ticks: _Optional[int] = ..., remaining_ticks: _Optional[int] = ..., limit_usd: _Optional[float] = ..., used_usd: _Optional[float] = ..., remaining_usd: _Optional[float] = ..., used_percent: _Optional[float] = ..., policy: _Optional[_Union[_budget_pb2.BudgetPolicy, str]] = ..., limit: _Optional[float] = ..., used: _Optional[float] = ..., remaining: _Optional[float] = ..., percentage_used: _Optional[float] = ...) -> None: ...

class BudgetThresholds(_message.Message):
    __slots__ = ("daily_warning_threshold", "monthly_warning_threshold")
    DAILY_WARNING_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    MONTHLY_WARNING_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    daily_warning_threshold: float
    monthly_warning_threshold: float
    def __init__(self, daily_warning_threshold: _Optional[float] = ..., monthly_warning_threshold: _Optional[float] = ...) -> None: ...

class GetBudgetStatusResponse(_message.Message):
    __slots__ = ("daily", "monthly", "alerts")
    DAILY_FIELD_NUMBER: _ClassVar[int]
    MONTHLY_FIELD_NUMBER: _ClassVar[int]
    ALERTS_FIELD_NUMBER: _ClassVar[int]
    daily: BudgetLevel
    monthly: BudgetLevel
    alerts: BudgetThresholds
    def __init__(self, daily: _Optional[_Union[BudgetLevel, _Mapping]] = ..., monthly: _Optional[_Union[BudgetLevel, _Mapping]] = ..., alerts: _Optional[_Union[BudgetThresholds, _Mapping]] = ...) -> None: ...
