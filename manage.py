#!/usr/bin/env python
"""Django's command line, for EverLearn."""

import os
import sys

from django.core.management import execute_from_command_line

from everlearn.configuration import ConfigurationError


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "everlearn.settings")
    try:
        execute_from_command_line(sys.argv)
    except ConfigurationError as error:
        sys.exit(f"everlearn: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
