"""Settings of the service as one object, of which each subject is a class in a file of its own."""

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from genai_spine.billing.price import OwnPrice
from genai_spine.billing.price_book import OperatorModels
from genai_spine.billing.price_sources import StatedPrice
from genai_spine.origins import LOOPBACK_HOSTS
from genai_spine.providers.base import Endpoint
from genai_spine.routing.router import Router
from genai_spine.settings.access import Access
from genai_spine.settings.cache import Cache, Idempotency
from genai_spine.settings.listeners import Listeners
from genai_spine.settings.models import Models
from genai_spine.settings.processes import Processes
from genai_spine.settings.spending import Spending
from genai_spine.settings.storage import Storage
from genai_spine.settings.symbols import Symbols
from genai_spine.settings.upstreams import Upstreams


# Fields of the last base come first, here and in docs/configuration.md.
class Settings(
    Symbols,
    Cache,
    Idempotency,
    Storage,
    Spending,
    Upstreams,
    Models,
    Processes,
    Access,
    Listeners,
    BaseSettings,
):
    """Environment variables as typed fields; a field's description is its documentation."""

    model_config = SettingsConfigDict(
        env_prefix="GENAI_",
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        populate_by_name=True,
        frozen=True,
    )

    # Name of a provider to its endpoint: filled from GENAI_<PROVIDER>_API_KEY, _BASE_URL, ..., and from
    # genai.yaml, as those that follow are.
    endpoints: dict[str, Endpoint] = Field(default_factory=dict, exclude=True)
    fallbacks: dict[str, tuple[str, ...]] = Field(default_factory=dict, exclude=True)  # of one model each
    stated_prices: tuple[StatedPrice, ...] = Field((), exclude=True)
    other_lanes: dict[str, str] = Field(default_factory=dict, exclude=True)  # provider to its lane

    @property
    def own_price(self) -> OwnPrice | None:
        """Price of the model that documents symbols, where it is set."""
        if self.input_token_price is None and self.output_token_price is None:
            return None
        alias = self.model_aliases.get(self.model_name)
        model = alias.members[0].model if alias else self.model_name
        owner = Router({}, self.default_provider).owner(model)
        return OwnPrice(*owner, self.input_token_price, self.output_token_price)

    @property
    def operator_models(self) -> OperatorModels:
        """Models that genai.yaml describes, for the price book."""
        return OperatorModels(
            self.stated_prices,
            {
                (name, model): terms.context_length
                for name, endpoint in self.endpoints.items()
                for model, terms in endpoint.models.items()
                if terms.context_length
            },
            {name: endpoint.row for name, endpoint in self.endpoints.items() if endpoint.row},
        )

    @property
    def symbols_address(self) -> tuple[str, int] | None:
        """Address of the listener for symbol documentation; None: there is none."""
        return None if self.port is None else (self.host or self.api_host, self.port)

    @model_validator(mode="after")
    def _open_only_on_purpose(self) -> "Settings":
        if (self.jwt_issuer is None) != (self.jwt_audience is None):
            raise ValueError("GENAI_JWT_ISSUER and GENAI_JWT_AUDIENCE: set both of them or none")
        if self.secret_key is not None and self.secret_key_file is not None:
            raise ValueError("GENAI_SECRET_KEY and GENAI_SECRET_KEY_FILE: set one of them")
        hosts = {"api_host": self.api_host, "grpc_host": self.grpc_host}
        if self.symbols_address:  # else HOST may mean something else
            hosts["host"] = self.symbols_address[0]
        for name, host in hosts.items():
            if host not in LOOPBACK_HOSTS and self.auth is None:
                raise ValueError(
                    f"GENAI_{name.upper()}={host} listens beyond this machine without authentication; set "
                    "GENAI_AUTH=on, and `genai-spine keys bootstrap` prints the first key, or "
                    "GENAI_AUTH=off if everyone who reaches it may use it"
                )
        return self
