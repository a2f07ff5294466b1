"""Who may do what: the one table of actions and roles.

Each action stands for Django permissions, and the function that does it asks its actor for
them: so the table holds whichever door somebody comes through. `doors` says which door leads
to which action; `permissions` and `keys` keep requests and API keys to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import Group, Permission, User
from django.db.models import Q

from models_app.refusals import NotFound

# The roles: a key is given actions as scopes, staff are members of the two groups.
KEY, VIEWER, MANAGER = "key", "viewer", "manager"


@dataclass(frozen=True, slots=True)
class Action:
    """Something that is done. permissions: what it takes. roles: who may be given it.

    A superuser's login may do every action; a superuser's key only those that keys may.
    """

    permissions: tuple[str, ...]
    roles: tuple[str, ...] = ()


ACTIONS: dict[str, Action] = {
    # models, versions, metrics, ledger, runs, and what others asked and said
    "read": Action(
        (
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
        (KEY, VIEWER, MANAGER),
    ),
    # ask private models
    "predict": Action(("models_app.predict_registeredmodel",), (KEY, VIEWER, MANAGER)),
    # say what the right answer was, on private models or of others' predictions; make links
    "feedback": Action(("feedback_app.add_feedback",), (KEY, MANAGER)),
    # accept, correct or reject what waits for a person
    "review": Action(("feedback_app.review_feedback",), (KEY, MANAGER)),
    # start and cancel runs
    "retrain": Action(
        ("feedback_app.add_retrainingrun", "feedback_app.change_retrainingrun"), (KEY, MANAGER)
    ),
    # promote and roll back what the gate let past
    "promote": Action(("models_app.promote_registeredmodel",), (KEY, MANAGER)),
    # have every web process reload
    "reload": Action(("models_app.reload_registeredmodel",), (KEY, MANAGER)),
    # look at the queue, at who used how much a day, and at what is deleted when
    "queue": Action(
        (
            "django_q.view_ormq",
            "django_q.view_success",
            "django_q.view_failure",
            "django_q.view_schedule",
            "models_app.view_dailyusage",
            "feedback_app.view_retentionstate",
        ),
        (MANAGER,),
    ),
    # export and forget what is known of a person
    "privacy": Action(("models_app.forget_subject",), (MANAGER,)),
    # From here on superusers alone, in a browser or a shell.
    # promote against the gate's word
    "override": Action(("models_app.override_gate",)),
    # change gates, schedules and what feedback counts; declare models
    "policies": Action(("models_app.change_registeredmodel",)),
    # have bundles trusted that were made elsewhere; change the key that signs them
    "signing": Action(("models_app.sign_bundle",)),
    # delete what is older than it is kept
    "prune": Action(("models_app.delete_prediction",)),
    # make and revoke API keys
    "keys": Action(
        ("everlearn.view_apikey", "everlearn.add_apikey", "everlearn.change_apikey"),
    ),
    # users and groups
    "accounts": Action(
        tuple(
            f"auth.{verb}_{kind}"
            for kind in ("user", "group")
            for verb in ("view", "add", "change", "delete")
        )
    ),
}

# The scopes of API keys, as the contract names them.
SCOPES = {name: action.permissions for name, action in ACTIONS.items() if KEY in action.roles}

GROUPS = {
    group: tuple(name for name, action in ACTIONS.items() if group in action.roles)
    for group in (VIEWER, MANAGER)
}

# What the keys of the usual programs are made with.
USUAL_SCOPES = {"a client": ("predict", "feedback"), "CI": ("read", "retrain", "reload")}


def permissions_of(action: str) -> tuple[str, ...]:
    """The Django permissions that `action` stands for; none for one that is no more."""
    return ACTIONS[action].permissions if action in ACTIONS else ()


def permission_rows(actions: Iterable[str]) -> list[Permission]:
    """The rows of the permissions that `actions` stand for."""
    wanted = Q(pk__in=())
    for name in (name for action in actions for name in permissions_of(action)):
        app_label, codename = name.split(".")
        wanted |= Q(content_type__app_label=app_label, codename=codename)
    return list(Permission.objects.filter(wanted))


def named_user(username: str) -> User:
    """The user of that name, active or not. Raises NotFound."""
    user = User.objects.filter(username=username).first()
    if user is None:
        raise NotFound(f"There is no user named {username[:150]!r}.")
    return user


def create_groups(**_: Any) -> None:
    """Make the groups of staff and keep them to the table, also after an upgrade."""
    for name, actions in GROUPS.items():
        group, _created = Group.objects.get_or_create(name=name)
        group.permissions.set(permission_rows(actions))
