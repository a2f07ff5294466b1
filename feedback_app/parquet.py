"""Tables in Django's default storage, under names that say what they hold."""

from __future__ import annotations

from io import BytesIO

import pandas as pd
from django.core.files.storage import default_storage

from models_app.atomic_storage import replace, store


def store_table(name: str, frame: pd.DataFrame) -> None:
    """Write `frame` as the Parquet file `name`."""
    buffer = BytesIO()
    frame.to_parquet(buffer, index=False)
    store(name, buffer.getvalue())


def replace_table(name: str, frame: pd.DataFrame) -> None:
    """Write `frame` in the place of the Parquet file `name`, which is there at any moment."""
    buffer = BytesIO()
    frame.to_parquet(buffer, index=False)
    replace(name, buffer.getvalue())


def read_table(name: str) -> pd.DataFrame:
    """The table that `store_table` wrote. Raises FileNotFoundError."""
    with default_storage.open(name) as file:
        return pd.read_parquet(BytesIO(file.read()))
