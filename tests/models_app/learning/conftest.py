from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from threadpoolctl import threadpool_limits

# How long an example takes says more of the neighbours on the machine than of the code.
settings.register_profile(
    "everlearn", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("everlearn")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads of scikit-learn's that wait for each other, beside other tests, take minutes."""
    with threadpool_limits(1):
        yield
