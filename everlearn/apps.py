from django.apps import AppConfig
from django.db.models.signals import post_migrate


class EverlearnConfig(AppConfig):
    name = "everlearn"
    verbose_name = "Access"

    def ready(self) -> None:
        from everlearn import access, checks, openapi  # noqa: F401 - two register themselves

        # Last of the apps, so that the permissions of all others exist by then.
        post_migrate.connect(access.create_groups, sender=self)
