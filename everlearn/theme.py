"""How the admin looks: django-unfold's settings, in the colours of the public pages."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy


def _file(path: str) -> Callable[[HttpRequest], str]:
    return lambda _: static(path)


ADMIN = {
    "SITE_TITLE": "EverLearn",
    "SITE_HEADER": "EverLearn",
    "SITE_ICON": _file("everlearn/icon.svg"),
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": _file("everlearn/icon.svg")}
    ],
    # At the user's name; Django's own link to the password is gone where this is given.
    "ACCOUNT": {
        "navigation": [
            {"title": "Change password", "link": reverse_lazy("admin:password_change")},
            {"title": "Two-factor login", "link": reverse_lazy("two-factor")},
            {"title": "Your sessions", "link": reverse_lazy("sessions")},
        ]
    },
    "STYLES": [_file("everlearn/admin.css")],
    "COLORS": {
        # Teal; 600 is dark enough for white words on it.
        "primary": {
            "50": "oklch(98.4% .014 180.72)",
            "100": "oklch(95.3% .051 180.801)",
            "200": "oklch(91% .096 180.426)",
            "300": "oklch(85.5% .138 181.071)",
            "400": "oklch(77.7% .152 181.912)",
            "500": "oklch(70.4% .14 182.503)",
            "600": "oklch(51.1% .096 186.391)",
            "700": "oklch(43.7% .078 188.216)",
            "800": "oklch(38.6% .063 188.416)",
            "900": "oklch(33% .055 190)",
            "950": "oklch(27.7% .046 192.524)",
        },
    },
}
