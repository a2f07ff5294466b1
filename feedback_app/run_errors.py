"""What the error of a run tells to whom: those who may not read runs learn its code alone."""

from __future__ import annotations

import re
from pathlib import Path

from django.contrib.auth.models import AnonymousUser, User

from feedback_app.models import RetrainingRun
from models_app import addresses

_CODE = re.compile(r"\A(\w{1,64}): ")
_PATH = re.compile(r"(?<![\w/:.])/(?:[\w.@+ -]+/)+")


def told(run: RetrainingRun, user: User | AnonymousUser | None) -> str:
    """The run's error for `user`: only its code for those who may not read runs, and no paths."""
    if user is None or not user.has_perm("feedback_app.view_retrainingrun"):
        code = _CODE.match(run.error)
        return code[1] if code else ("not_told" if run.error else "")
    text = run.error
    for place in (run.data, run.registered_model.data):
        if place and not addresses.is_address(place):
            text = text.replace(place, Path(place).name)
    return _PATH.sub("…/", text)
