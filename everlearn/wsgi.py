"""The WSGI entry point of the web processes."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "everlearn.settings")

_application = get_wsgi_application()

from everlearn.bodies import finished, measured  # noqa: E402 - once Django is set up

application = finished(measured(_application))
