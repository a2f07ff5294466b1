"""Rows that several of these tests begin with."""

from __future__ import annotations

import pytest

from models_app.models import RegisteredModel
from tests.factories import make_rows


@pytest.fixture
def rows() -> RegisteredModel:
    """One row of everything."""
    return make_rows()
