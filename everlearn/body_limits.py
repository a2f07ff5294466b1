"""How long a body may be on each route.

`everlearn.web_worker` receives each body whole, and no further than that, before the application
is asked; a body in chunks has a Content-Length by then.
"""

from __future__ import annotations

import re

from models_app.learning.schema import Problem

MIB = 2**20

# The first pattern that fits the whole path decides.
LIMITS: tuple[tuple[str, int], ...] = (
    ("(/api)?/feedback/?", 10 * MIB),
    # Open to everybody, and with no file to take.
    ("/admin/log(in|out)/?", MIB),
    ("/admin/.*", 100 * MIB),
    ("/api/models/[^/]*/predict-batch/?", 100 * MIB),
    (".*", MIB),
)


def limit_of(path: str) -> int:
    """How many bytes a body sent to `path` may have."""
    return next(limit for pattern, limit in LIMITS if re.fullmatch(pattern, path, re.DOTALL))


def too_large(limit: int) -> Problem:
    """What is said of a body that is longer than `limit` bytes."""
    detail = f"The body is longer than the {limit} bytes that this route takes."
    return Problem("", "body_too_large", detail)
