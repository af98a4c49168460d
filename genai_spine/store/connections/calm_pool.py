"""Pool of connections to a database, made for bursts."""

from time import monotonic
from typing import Any

from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry

CALM_S = 10.0  # after which connections past pool_min are closed
FRESH_S = 1.0  # after its use a connection counts as alive, unless it is known to be closed
USED = "used"  # when a connection came back to the pool, by time.monotonic()


class CalmPool(AsyncAdaptedQueuePool):
    """Pool that keeps its connections while there is much to do, and closes those past `least` afterwards.

    SQLAlchemy's own closes each of them when it comes back. Under load that was one new connection a call.
    Once disposed of it keeps none: SQLAlchemy's own, 2.1.9, keeps what was lent then, which nobody closes.
    """

    least = 1
    _busy = 0.0  # when it last lent more than `least`, by time.monotonic()
    _is_disposed = False

    def _do_get(self) -> ConnectionPoolEntry:
        """A connection, which is not pinged where it was just used: that is a round trip a statement."""
        record = super()._do_get()
        raw: Any = record.driver_connection
        if self._pre_ping and raw is not None and monotonic() - record.info.get(USED, 0.0) < FRESH_S:
            record.fresh = not raw.is_closed()  # type: ignore[attr-defined]
        return record

    def dispose(self) -> None:
        self._is_disposed = True
        super().dispose()

    def recreate(self) -> "CalmPool":
        """The pool that the engine uses after dispose(), by whoever has not heard of the end."""
        pool = super().recreate()
        assert isinstance(pool, CalmPool)
        pool._is_disposed = self._is_disposed
        return pool

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        if self._is_disposed:
            try:
                record.close()
            finally:  # who waits for it connects anew
                super()._do_return_conn(record)
            return
        now = monotonic()
        if record.dbapi_connection is not None:
            record.info[USED] = now
        if self.checkedout() > self.least:
            self._busy = now
        if self.checkedin() < self.least or now - self._busy < CALM_S:
            super()._do_return_conn(record)
            return
        try:
            record.close()
        finally:
            self._dec_overflow()
