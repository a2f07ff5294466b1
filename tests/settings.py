"""The real settings, with every setting at its default and a home of the tests' own.

What happens to be in the environment or `.env` must neither change nor reach the tests.
"""

import atexit
import os
import shutil
import tempfile

from everlearn.configuration import settings_table

for _setting in settings_table():
    os.environ[_setting.metadata["name"]] = ""
_home = tempfile.mkdtemp(prefix="everlearn-tests-")
_maker = os.getpid()
os.environ["EVERLEARN_HOME"] = _home
# Commands that tests start as processes of their own find the same home and database.
os.environ["DJANGO_SETTINGS_MODULE"] = "everlearn.settings"


@atexit.register
def _remove_home() -> None:
    if os.getpid() == _maker:  # not in a forked child
        shutil.rmtree(_home, ignore_errors=True)


from everlearn.settings import *  # noqa: E402, F403
from everlearn.settings import DATABASES  # noqa: E402

# A file, so that threads and child processes meet the tests' rows.
DATABASES["default"]["TEST"] = {"NAME": DATABASES["default"]["NAME"]}

# A slow hash is what keeps passwords safe, and what made most of a test's time.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
