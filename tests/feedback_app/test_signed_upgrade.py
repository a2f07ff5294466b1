"""An installation of before bundles were signed goes on serving what it trained itself."""

from __future__ import annotations

import uuid

import pytest
from django.apps import apps
from django.utils import timezone
from django.utils.module_loading import import_string

from feedback_app.models import RetrainingRun
from models_app import bundles, signing
from models_app.conversion import make_bundle
from models_app.learning import pipeline, tables
from models_app.models import ModelVersion, RegisteredModel
from models_app.refusals import BundleRefused
from tests.factories import SCHEMA, leaves, make_model, make_user, make_version

pytestmark = pytest.mark.django_db

MIGRATION = "feedback_app.migrations.0011_sign_bundles_trained_here.sign"


def unsigned_version(model: RegisteredModel) -> ModelVersion:
    """A version with a bundle of its own, as it was stored before there were signatures."""
    frame = leaves()
    estimator = pipeline.build("logistic", schema=SCHEMA, task="classification", seed=0)
    estimator.fit(tables.encode(frame, SCHEMA), frame["kind"].to_numpy(dtype=object))
    digest = make_bundle(
        estimator, name=f"leaves-{uuid.uuid4().hex[:8]}", schema=SCHEMA, task="classification",
        classes=("elm", "oak"), instances=tables.instances_of(frame, SCHEMA),
    ).digest  # fmt: skip
    bundles.put_signature(digest, b"")
    (bundles._cached(digest) / bundles.SIGNATURE).unlink()
    return make_version(model, bundle_digest=digest)


def run_of(version: ModelVersion, **fields: object) -> None:
    RetrainingRun.objects.create(
        registered_model=version.registered_model, version=version, status="succeeded",
        requested_by=make_user(uuid.uuid4().hex), **{"trigger": "manual", **fields},
    )  # fmt: skip


def migrate() -> None:
    import_string(MIGRATION)(apps, None)


def test_what_was_trained_here_is_signed_and_what_came_from_elsewhere_waits() -> None:
    model = make_model()
    here, handed_over, judged_only, of_no_run = (unsigned_version(model) for _ in range(4))
    run_of(here)
    run_of(handed_over, handed_over_at=timezone.now())
    run_of(judged_only, trigger="external")
    with pytest.raises(BundleRefused):
        bundles.load(here.bundle_digest)

    migrate()

    assert bundles.load(here.bundle_digest).digest == here.bundle_digest
    for version in (handed_over, judged_only, of_no_run):
        version.refresh_from_db()
        assert version.unservable_because.startswith("signature_invalid")
        assert "sign_bundle" in version.unservable_because
        with pytest.raises(BundleRefused):
            bundles.load(version.bundle_digest)


def test_it_signs_nothing_that_has_another_signature_and_may_be_done_again() -> None:
    here = unsigned_version(make_model())
    run_of(here)
    forged = b"v1 " + b"0" * 64 + b"\n"
    bundles.put_signature(here.bundle_digest, forged)

    migrate()
    migrate()

    assert bundles.stored_signature(here.bundle_digest) == forged
    assert not signing.is_valid(here.bundle_digest, forged)


def test_a_version_whose_bundle_is_gone_does_not_stop_the_upgrade() -> None:
    version = make_version(bundle_digest="e" * 64)
    run_of(version)

    migrate()

    assert bundles.stored_signature(version.bundle_digest) == b""
