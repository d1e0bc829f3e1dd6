"""Which backend is active: the last one chosen over HTTP, else the one in the backends file."""

import logging

from services.teacher.config import TeacherConfig
from services.teacher.storage.database import Database

logger = logging.getLogger(__name__)


class ActiveBackend:
    """The active backend's name, kept in the database."""

    def __init__(self, database: Database, config: TeacherConfig) -> None:
        self._database = database
        database.create("CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
        rows = database.read("SELECT value FROM settings WHERE name = 'active'")
        chosen = rows[0][0] if rows else config.active
        if chosen not in config.by_name():
            logger.warning("the chosen backend %r is no longer configured; %r is active", chosen, config.active)
            chosen = config.active
        elif chosen != config.active:
            logger.warning("backend %r is active, as chosen with PUT /v1/backends/active; the backends file says %r", chosen, config.active)
        self.name: str = chosen

    def set(self, name: str) -> None:
        """Choose `name`, durably. Blocks for an fsync."""
        with self._database.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO settings (name, value) VALUES ('active', ?)", (name,))
        self.name = name
