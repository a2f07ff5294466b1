"""Records each change of who may do what, whichever page, command or code makes it."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group, User
from django.db.models import Model
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_save
from django.dispatch import receiver

from everlearn import sessions
from everlearn.audit import record

WATCHED = ("username", "is_active", "is_staff", "is_superuser", "password")
_BEFORE = "_rights_before"


@receiver(pre_save, sender=User)
def look_before(instance: User, raw: bool = False, update_fields: Any = None, **_: Any) -> None:
    watched = update_fields is None or not set(update_fields).isdisjoint(WATCHED)
    known = watched and not raw and instance.pk is not None
    before = User.objects.filter(pk=instance.pk).values(*WATCHED).first() if known else None
    setattr(instance, _BEFORE, before)


@receiver(post_save, sender=User)
def record_user(
    instance: User, created: bool, raw: bool = False, update_fields: Any = None, **_: Any
) -> None:
    """One line for what is new about an account; a password's change ends its other sessions."""
    if raw:
        return
    if created:
        rights = [name for name in WATCHED[2:4] if getattr(instance, name)]
        record("user_created", account=instance, detail=", ".join(rights))
        return
    before = getattr(instance, _BEFORE, None) or {}
    changed = [name for name, value in before.items() if getattr(instance, name) != value]
    if "password" in changed:
        changed.remove("password")
        if not _only_hashed_anew(instance, update_fields):
            record("password_changed", account=instance)
            sessions.end_all(instance, but=sessions.current_key(), detail="password changed")
    if changed:
        told = ", ".join(f"{name}={getattr(instance, name)}" for name in changed)
        record("user_changed", account=instance, detail=told)
    if "is_active" in changed and not instance.is_active:
        sessions.end_all(instance, detail="account deactivated")


def _only_hashed_anew(user: User, update_fields: Any) -> bool:
    """Whether Django wrote the same password in a newer way of hashing, as it does at a login."""
    set_by_hand = getattr(user, "_password", None) is not None or not user.has_usable_password()
    return not set_by_hand and set(update_fields or ()) == {"password"}


@receiver(post_save, sender=Group)
def record_group(instance: Group, created: bool, raw: bool = False, **_: Any) -> None:
    if not raw:
        record("group_created" if created else "group_changed", account=instance)


@receiver(post_delete, sender=User)
@receiver(post_delete, sender=Group)
def record_deletion(instance: Model, **_: Any) -> None:
    record(f"{type(instance).__name__.lower()}_deleted", account=instance)


@receiver(m2m_changed, sender=User.groups.through)
@receiver(m2m_changed, sender=User.user_permissions.through)
@receiver(m2m_changed, sender=Group.permissions.through)
def record_membership(
    instance: Model, action: str, model: type[Model], pk_set: set[int] | None, **_: Any
) -> None:
    """What was added to or taken from an account or a group; a group's members likewise."""
    verb = {"post_add": "added", "post_remove": "removed", "post_clear": "cleared"}.get(action)
    if verb is None or (verb != "cleared" and not pk_set):
        return
    rows: Any = model.objects.filter(pk__in=pk_set or ())  # type: ignore[attr-defined]
    named = ", ".join(sorted(getattr(row, "codename", str(row)) for row in rows))
    record("rights_changed", account=instance, detail=f"{model.__name__} {verb}: {named}")
