"""What the API tells of a run's error: neither where files lie nor what other files hold.

A key may have a run read another file than the declared one. So that no key reads a file by way
of errors, of such a run's error the API tells declared columns only; the admin and the worker's
log have the whole. Those who may not read runs are told the code alone.
"""

from __future__ import annotations

import re
from pathlib import Path

from django.contrib.auth.models import AnonymousUser, User

from feedback_app.models import RetrainingRun
from models_app import addresses
from models_app.models import RegisteredModel

SEE_LOG = "The worker's log says more."
# What was refused unread, or for its size: these sentences hold nothing of the file but a name.
REFUSED_WHOLE = ("data_source_rejected", "url_not_allowed")
IN_THE_ADMIN = "The admin and the worker's log say more."
# Endings that say the same whatever the file holds.
PLAIN = ("no such file", "no rows")

_CODE = re.compile(r"\A(\w{1,64}): ")
_PATH = re.compile(r"(?<![\w/:.])/(?:[\w.@+ -]+/)+")
_COLUMN = re.compile(r"Column '(?:[^'\\]|\\.)*'|Column \"(?:[^\"\\]|\\.)*\"")
_CHANGE = r"(?:column|the target) (?:{}) (?:is missing|(?:was|had) \w+ and holds \w+)"


def told(run: RetrainingRun, user: User | AnonymousUser | None) -> str:
    """The run's error as `user` may know it; "" when there is none."""
    if not run.error:
        return ""
    found = _CODE.match(run.error)
    code = found[1] if found else "failed"
    if user is None or not user.has_perm("feedback_app.view_retrainingrun"):
        return code
    model = run.registered_model
    if code in REFUSED_WHOLE:
        return _without_paths(_COLUMN.sub("A column", run.error), run.data, model.data)
    if run.data not in ("", model.data):
        return f"{code}: {_without_contents(run.error, model)} {IN_THE_ADMIN}"
    return _without_paths(run.error, run.data, model.data)


def _without_contents(error: str, model: RegisteredModel) -> str:
    """What the error says of declared columns, or by a plain ending."""
    if plain := next((one for one in PLAIN if error.endswith(f": {one}")), None):
        return f"The data: {plain}."
    names = "|".join(re.escape(repr(name[:80])) for name in (*model.schema.names, model.target))
    changes = re.findall(_CHANGE.format(names), error)
    return f"The data is not as declared: {'; '.join(changes)}." if changes else "It failed."


def _without_paths(text: str, *places: str) -> str:
    for place in places:
        if place and not addresses.is_address(place):
            text = text.replace(place, Path(place).name)
    return _PATH.sub("…/", text)
