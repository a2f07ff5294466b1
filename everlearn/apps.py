from django.apps import AppConfig
from django.db.models.signals import post_migrate


class EverlearnConfig(AppConfig):
    name = "everlearn"
    verbose_name = "Access"

    def ready(self) -> None:
        from everlearn import access, openapi  # noqa: F401 - openapi registers itself

        # Last of the apps, so that the permissions of all others exist by then.
        post_migrate.connect(access.create_groups, sender=self)
