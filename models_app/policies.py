"""Change a model's policies: when it trains again, what is promoted, what feedback counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied

from models_app.declaration import FeedbackPolicy, PromotionPolicy, RetrainPolicy, Strict
from models_app.models import RegisteredModel

POLICIES: dict[str, type[Strict]] = {
    "retrain": RetrainPolicy,
    "promotion": PromotionPolicy,
    "feedback": FeedbackPolicy,
}


def change(model: RegisteredModel, given: Mapping[str, dict[str, Any]], *, actor: User) -> None:
    """Store the policies in `given`, each whole, by its name in POLICIES.

    Raises PermissionDenied, and ValidationError for a policy that makes no sense; then nothing
    has changed.
    """
    refuse_unless_allowed(actor)
    for name, policy in given.items():
        checked = POLICIES[name].model_validate(policy)
        setattr(model, name, checked.model_dump(exclude_none=True))
    # Only these: the champion may have moved since the model was read.
    model.save(update_fields=list(given))


def refuse_unless_allowed(actor: User) -> None:
    """Raise PermissionDenied unless `actor` may declare models and change their policies."""
    if not actor.has_perm("models_app.change_registeredmodel"):
        raise PermissionDenied("Changing models and their policies needs change_registeredmodel.")
