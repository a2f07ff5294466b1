import logging

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class EverlearnConfig(AppConfig):
    name = "everlearn"
    verbose_name = "Access"

    def ready(self) -> None:
        # So that a warning is a line of the log like any other.
        logging.captureWarnings(True)
        from everlearn import (  # noqa: F401 - all but one register themselves
            access,
            checks,
            openapi,
            rights_audit,
            sessions,
        )

        # Last of the apps, so that the permissions of all others exist by then.
        post_migrate.connect(access.create_groups, sender=self)
