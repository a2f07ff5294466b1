"""`manage.py rotate_bundle_key`: have another key sign bundles, without a moment of refusals."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.models import User

from models_app import bundle_signatures, signing
from models_app.management.acting import ActingCommand

TO_SET = """EVERLEARN_BUNDLE_KEY is set, so only you can change it. On every host that serves:
  1. Set EVERLEARN_BUNDLE_KEY={key}
     and EVERLEARN_BUNDLE_KEY_FALLBACKS to the value that EVERLEARN_BUNDLE_KEY has now.
  2. Restart, and run manage.py rotate_bundle_key again: it signs every stored bundle anew.
  3. Give trainers elsewhere the new EVERLEARN_BUNDLE_KEY, then unset the fallbacks and restart.
Nothing was changed yet."""
TO_UNSET = "Give trainers elsewhere the new key, then unset EVERLEARN_BUNDLE_KEY_FALLBACKS."


class Command(ActingCommand):
    help = "Sign every stored bundle anew with a new key, and accept the older one no more."

    def act(self, actor: User, **options: Any) -> None:
        if key := bundle_signatures.begin_rotation(actor=actor):
            self.stdout.write(TO_SET.format(key=key))
            return
        done = bundle_signatures.sign_anew(actor=actor)
        bundle_signatures.finish_rotation(actor=actor)
        self.stdout.write(f"Signed {done.signed} bundles anew; {done.current} had the new key.")
        if done.unsigned:
            shown = ", ".join(digest[:12] for digest in done.unsigned)
            self.stdout.write(f"Refused before and after, as no key of ours signed them: {shown}.")
        if settings.EVERLEARN_BUNDLE_KEY_FALLBACKS:
            self.stdout.write(TO_UNSET)
        if not settings.EVERLEARN_BUNDLE_KEY:
            self.stdout.write(f"The new key is in {signing.key_file()}.")
