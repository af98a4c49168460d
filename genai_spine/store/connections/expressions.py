"""Expressions of SQL that each database writes in its own way."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from genai_spine.store.database import Utc


class Now(FunctionElement[datetime]):
    """The database's own clock plus some seconds: `Now(15.0)` is 15 s ahead of it."""

    type = Utc()
    inherit_cache = True

    def __init__(self, plus_s: float = 0.0) -> None:
        super().__init__(sa.literal(float(plus_s), sa.Double))


@compiles(Now, "postgresql")
def _postgresql_now(element: Now, compiler: Any, **kw: Any) -> str:
    return f"(now() + make_interval(secs => {compiler.process(element.clauses, **kw)}))"


@compiles(Now, "sqlite")
def _sqlite_now(element: Now, compiler: Any, **kw: Any) -> str:
    seconds = compiler.process(element.clauses, **kw)
    return f"(strftime('%Y-%m-%d %H:%M:%f', 'now', {seconds} || ' seconds') || '000')"


class JsonTexts(FunctionElement[Any]):
    """Rows (key, value) of a column that holds a JSON object of texts; use it with `table_valued`."""

    inherit_cache = True


@compiles(JsonTexts, "postgresql")
def _postgresql_json_texts(element: JsonTexts, compiler: Any, **kw: Any) -> str:
    return f"json_each_text({compiler.process(element.clauses, **kw)})"


@compiles(JsonTexts, "sqlite")
def _sqlite_json_texts(element: JsonTexts, compiler: Any, **kw: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **kw)})"


class JsonListTexts(FunctionElement[Any]):
    """Rows (value) of a column that holds a JSON list of texts; use it with `table_valued`."""

    inherit_cache = True


@compiles(JsonListTexts, "postgresql")
def _postgresql_json_list_texts(element: JsonListTexts, compiler: Any, **kw: Any) -> str:
    return f"json_array_elements_text({compiler.process(element.clauses, **kw)})"


@compiles(JsonListTexts, "sqlite")
def _sqlite_json_list_texts(element: JsonListTexts, compiler: Any, **kw: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **kw)})"
