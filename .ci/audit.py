"""Look for known vulnerabilities in the locked dependencies: `make audit`.

Exit status 1 when one is known. Where no vulnerability service can be reached the audit says so
in one line, and fails only when AUDIT_REQUIRED is set, as in the workflow of GitHub Actions.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT = 300  # seconds for all of it


def main() -> int:
    found = _audit()
    audited = [one for one in found if "vulns" in one]
    if not audited:
        print("NOT AUDITED: no vulnerability service answered, so nothing is known of the locked")
        print("packages. Run `make audit` where the package index answers.")
        return int(bool(os.environ.get("AUDIT_REQUIRED")))
    for one in audited:
        for known in one["vulns"]:
            fixed = ", ".join(known.get("fix_versions", ())) or "no version yet"
            print(f"{one['name']} {one['version']}: {known['id']}, fixed in {fixed}")
    skipped = [one["name"] for one in found if "vulns" not in one]
    print(f"Audited {len(audited)} of {len(found)} locked packages.")
    if skipped:
        print(f"NOT AUDITED: {', '.join(skipped)}")
    return int(any(one["vulns"] for one in audited))


def _audit() -> list[dict[str, Any]]:
    """What pip-audit says of each package; nothing when it could not ask."""
    words = ("--requirement", "requirements.lock", "--no-deps", "--disable-pip")
    quiet = ("--format", "json", "--progress-spinner", "off", "--timeout", "10")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pip_audit", *words, *quiet],
            cwd=ROOT, capture_output=True, text=True, check=False, timeout=TIMEOUT,
        )  # fmt: skip
        dependencies: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        return []
    return dependencies


if __name__ == "__main__":
    sys.exit(main())
