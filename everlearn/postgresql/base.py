"""Django's PostgreSQL, with a health check that does not ask the server before every request."""

from __future__ import annotations

import select

from django.db.backends.postgresql import base


class DatabaseWrapper(base.DatabaseWrapper):
    """Between two requests a server has nothing to say, unless it ended the connection."""

    def is_usable(self) -> bool:
        """Whether the connection works: asked for only after an error, or when something came."""
        if self.connection is None or self.connection.closed:
            return False
        if not self.errors_occurred and not _has_something_to_read(self.connection.fileno()):
            return True
        return bool(super().is_usable())


def _has_something_to_read(descriptor: int) -> bool:
    # Not select(), which cannot watch descriptors above 1,023.
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
