"""Configuration that a command works with, and its price book; what is wrong with them ends the command."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from genai_spine.cli.output import fail

if TYPE_CHECKING:
    from genai_spine.billing.price_book import PriceBook
    from genai_spine.configuration.loader import Configuration
    from genai_spine.settings import Settings


def configuration_with(**options: Any) -> "Configuration":
    """Configuration of genai.yaml and the environment. options: of the command line, None where not given."""
    from genai_spine.configuration.loader import load
    from genai_spine.telemetry import logs

    try:
        found = load(**options)
    except ValueError as error:
        fail(error)
    logs.configure("DEBUG" if found.settings.debug else found.settings.log_level)
    return found


def settings_with(**options: Any) -> "Settings":
    return configuration_with(**options).settings


def book_with(settings: "Settings", overrides: Path | None = None) -> "PriceBook":
    from genai_spine.billing.price import PriceBookError
    from genai_spine.billing.price_book import PriceBook

    try:
        path = overrides or settings.price_overrides
        return PriceBook.load(path, settings.own_price, settings.operator_models)
    except PriceBookError as error:
        fail(error)
