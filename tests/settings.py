"""The real settings, with every setting at its default and a home of the tests' own.

What happens to be in the environment or `.env` must neither change nor reach the tests. They
run on SQLite, or, of those that touch a database, on PostgreSQL:

    TEST_DATABASE=postgres .venv/bin/python -m pytest tests/…

The server is the one on 127.0.0.1:5432, or TEST_POSTGRES_URL; each test process makes a database
of its own there and removes it. Drills choose by themselves: see `tests.databases`.
"""

import atexit
import os
import shutil
import tempfile

from everlearn.configuration import settings_table
from tests import databases

for _setting in settings_table():
    os.environ[_setting.metadata["name"]] = ""
_home = tempfile.mkdtemp(prefix="everlearn-tests-")
_maker = os.getpid()
os.environ["EVERLEARN_HOME"] = _home
if databases.suite_is_on() == "postgres":
    os.environ["DATABASE_URL"] = databases.new_url()
# Commands that tests start as processes of their own find the same home and database.
os.environ["DJANGO_SETTINGS_MODULE"] = "everlearn.settings"


@atexit.register
def _remove_home() -> None:
    if os.getpid() == _maker:  # not in a forked child
        shutil.rmtree(_home, ignore_errors=True)


from everlearn.settings import *  # noqa: E402, F403
from everlearn.settings import DATABASES  # noqa: E402

# The same name, so that child processes meet the tests' rows; a file rather than memory, so
# that threads do; and nobody else connects to template0 while it is copied.
DATABASES["default"]["TEST"] = {"NAME": DATABASES["default"]["NAME"], "TEMPLATE": "template0"}

# A slow hash is what keeps passwords safe, and what made most of a test's time.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
