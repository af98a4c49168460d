"""Lists of rows with the newest time first: where a page of one ends, and the rows behind that place."""

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, or_


class PageEnd(NamedTuple):
    """End of a page: the rows behind it are older, or as old with a smaller id."""

    time: datetime
    id: str


def behind(place: PageEnd | None, time: Any, id: Any) -> list[ColumnElement[bool]]:
    """Conditions that the columns of rows behind a place fulfil; none for the first page."""
    if place is None:
        return []
    older = or_(time < place.time, and_(time == place.time, id < place.id))
    return [time <= place.time, older]
