"""Which door leads to which action: every route, every page of the admin, every command.

A door that is not named here lets nobody in, and tests/everlearn/test_doors.py says which one
is missing. Who may do an action is said by ACTIONS in `access`.
"""

from __future__ import annotations

from dataclasses import dataclass

# Beside the actions of `access.ACTIONS`:
ANYBODY = "anybody"
OWN = "own"  # anybody with a key or a login, shown only what is theirs, unless they may read


@dataclass(frozen=True, slots=True)
class Door:
    """What a route's method does. public: where the model is public, anybody may."""

    action: str
    public: bool = False


# By the name of the route, then by method (HEAD goes as GET).
ROUTES: dict[str, dict[str, Door]] = {
    # For people and probes
    "home": {"GET": Door(ANYBODY)},
    "docs": {"GET": Door(ANYBODY)},
    "schema": {"GET": Door(ANYBODY)},
    "health": {"GET": Door(ANYBODY)},
    "ready": {"GET": Door(ANYBODY)},
    "metrics": {"GET": Door("read", public=True)},  # to the addresses of EVERLEARN_METRICS_ALLOW
    # Models and what they answer
    "models": {"GET": Door(ANYBODY)},  # those that are public; all to readers
    "model": {"GET": Door("read", public=True)},
    "model-page": {"GET": Door("predict", public=True), "POST": Door("predict", public=True)},
    "predict": {"POST": Door("predict", public=True)},
    "default-predict": {"POST": Door("predict", public=True)},
    "preview": {"POST": Door("read")},
    "predict-batch": {"POST": Door("predict")},
    "job": {"GET": Door(OWN)},
    "job-result": {"GET": Door(OWN)},
    "cancel-job": {"POST": Door(OWN)},
    "prediction": {"GET": Door(OWN)},
    # What comes back
    "feedback": {"GET": Door(OWN), "POST": Door("feedback", public=True)},
    "default-feedback": {"POST": Door("feedback", public=True)},
    "review-feedback": {"POST": Door("review")},
    "feedback-link": {"POST": Door("feedback")},
    "linked-feedback": {"GET": Door(ANYBODY), "POST": Door(ANYBODY)},  # the link is the key
    "model-feedback": {"POST": Door("feedback", public=True)},
    # Training
    "training-data": {"GET": Door("retrain")},
    "retrain": {"POST": Door("retrain")},
    "trigger": {"POST": Door("retrain")},
    "runs": {"GET": Door("read")},
    "run": {"GET": Door("read")},
    "cancel-run": {"POST": Door("retrain")},
    "report-run": {"POST": Door("retrain")},
    # Versions and what serves
    "versions": {"GET": Door("read")},
    "version": {"GET": Door("read")},
    "deployments": {"GET": Door("read")},
    "promote": {"POST": Door("promote")},
    "rollback": {"POST": Door("promote")},
    "reload": {"POST": Door("reload")},
    "default-reload": {"POST": Door("reload")},
}

# The admin by model: Django's own pages, and the buttons on them. What is absent nobody may.
ADMIN: dict[str, dict[str, str]] = {
    "models_app.registeredmodel": {
        "view": "read",
        "change": "policies",
        "train_now": "retrain",
        "pin": "policies",
        "roll_back": "promote",
    },
    "models_app.modelversion": {"view": "read", "promote": "promote", "roll_back_to": "promote"},
    "models_app.deployment": {"view": "read"},
    "models_app.prediction": {"view": "read"},
    "models_app.registryalias": {"view": "read"},
    "models_app.webprocess": {"view": "read"},
    "models_app.trainingsnapshot": {"view": "read"},
    "models_app.dailyusage": {"view": "queue"},
    "feedback_app.feedback": {
        "view": "read",
        **dict.fromkeys(("accept", "reject", "accept_selected", "reject_selected"), "review"),
    },
    "feedback_app.retentionstate": {"view": "queue"},
    "feedback_app.retrainingrun": {"view": "read", "cancel": "retrain"},
    "django_q.ormq": {"view": "queue"},
    "django_q.success": {"view": "queue"},
    "django_q.failure": {"view": "queue"},
    "django_q.schedule": {"view": "queue"},
    "everlearn.apikey": dict.fromkeys(("view", "add", "revoke", "limit", "roll", "quotas"), "keys"),
    "auth.user": dict.fromkeys(
        (
            "view",
            "add",
            "change",
            "delete",
            "password_change",
            "end_sessions",
            "reset_two_factor",
        ),
        "accounts",
    ),
    "auth.group": dict.fromkeys(("view", "add", "change", "delete"), "accounts"),
}

# Pages of the admin about one's own login, for every member of staff.
OWN_PAGES = ("two-factor", "sessions", "confirm-password", "login-code")

# Commands act as `--as USER`; those for anybody in the shell change nothing that is guarded.
COMMANDS: dict[str, str] = {
    "promote": "promote",
    "rollback": "promote",
    "train": "retrain",
    "training_data": "retrain",
    "apply": "policies",
    "pin": "policies",
    "sign_bundle": "signing",
    "rotate_bundle_key": "signing",
    "create_api_key": "keys",
    "revoke_api_key": "keys",
    "roll_api_key": "keys",
    "reset_totp": "accounts",
    "end_sessions": "accounts",
    "set_key_quotas": "keys",
    "forget": "privacy",
    "export_subject": "privacy",
    "prune": "prune",
    **dict.fromkeys(
        ("up", "sync", "doctor", "cluster", "worker", "run_training", "count_rows"), ANYBODY
    ),
    **dict.fromkeys(("backup", "restore", "retrain_report", "verify_version"), ANYBODY),
}


def door(route: str, method: str) -> Door | None:
    """The door that a request stands before; None when nobody may enter.

    A method that the route does not know, OPTIONS among them, counts as the route's first: who
    may not enter learns nothing of what is behind.
    """
    doors = ROUTES.get(route, {})
    return doors.get("GET" if method == "HEAD" else method) or next(iter(doors.values()), None)
