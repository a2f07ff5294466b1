"""Sign the bundles of versions that this installation trained itself; others wait for an operator."""

import logging

from django.db import migrations

from models_app import bundles, signing

logger = logging.getLogger(__name__)

WHY = (
    "signature_invalid: it was adopted from elsewhere before bundles were signed; "
    "a superuser may run manage.py sign_bundle"
)


def sign(apps, schema_editor):
    runs = apps.get_model("feedback_app", "RetrainingRun").objects
    versions = apps.get_model("models_app", "ModelVersion").objects.exclude(bundle_digest="")
    trained_here = runs.filter(version__isnull=False, handed_over_at__isnull=True).exclude(
        trigger="external"
    )
    ours = versions.filter(pk__in=trained_here.values("version"))
    for digest in ours.values_list("bundle_digest", flat=True).distinct():
        if not bundles.stored_signature(digest):
            bundles.sign_stored(digest)
    others = versions.exclude(pk__in=ours.values("pk")).filter(unservable_because="")
    for version in others.select_related("registered_model"):
        if not signing.is_valid(version.bundle_digest, bundles.stored_signature(version.bundle_digest)):
            name = version.registered_model.name
            logger.warning("%s v%s serves no more: %s", name, version.number, WHY)
            versions.filter(pk=version.pk).update(unservable_because=WHY)


class Migration(migrations.Migration):

    dependencies = [
        ("feedback_app", "0010_sources_and_public_status"),
        ("models_app", "0010_signed_bundles"),
    ]

    operations = [migrations.RunPython(sign, migrations.RunPython.noop, elidable=True)]
