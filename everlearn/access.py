"""Who may do what: the one table from the API's scopes to Django's permissions.

Views name a scope; `permissions` holds them to it, and `keys` holds an API key to its own.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group, Permission
from django.db.models import Q

SCOPES: dict[str, tuple[str, ...]] = {
    "read": (
        "models_app.view_registeredmodel",
        "models_app.view_trainingsnapshot",
        "models_app.view_modelversion",
        "models_app.view_deployment",
        "models_app.view_prediction",
        "models_app.view_registryalias",
        "models_app.view_webprocess",
        "feedback_app.view_feedback",
        "feedback_app.view_retrainingrun",
    ),
    "predict": ("models_app.predict_registeredmodel",),
    "feedback": ("feedback_app.add_feedback",),
    "review": ("feedback_app.review_feedback",),
    "retrain": ("feedback_app.add_retrainingrun", "feedback_app.change_retrainingrun"),
    "promote": ("models_app.promote_registeredmodel",),
    "reload": ("models_app.reload_registeredmodel",),
}

GROUPS: dict[str, tuple[str, ...]] = {
    "viewer": ("read", "predict"),
    "manager": tuple(SCOPES),
}


def permissions_of(scope: str) -> tuple[str, ...]:
    """The Django permissions that `scope` stands for; none for a scope that is no more."""
    return SCOPES.get(scope, ())


def permission_rows(scopes: tuple[str, ...] | list[str]) -> list[Permission]:
    """The rows of the permissions that `scopes` stand for."""
    wanted = Q(pk__in=())
    for name in (name for scope in scopes for name in permissions_of(scope)):
        app_label, codename = name.split(".")
        wanted |= Q(content_type__app_label=app_label, codename=codename)
    return list(Permission.objects.filter(wanted))


def create_groups(**_: Any) -> None:
    """Make the groups of staff once; what staff then change in them stays."""
    for name, scopes in GROUPS.items():
        group, created = Group.objects.get_or_create(name=name)
        if created:
            group.permissions.set(permission_rows(scopes))
