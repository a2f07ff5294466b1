"""Tables in Django's default storage, under names that say what they hold."""

from __future__ import annotations

from io import BytesIO

import pandas as pd
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage


def store_table(name: str, frame: pd.DataFrame) -> None:
    """Write `frame` as the Parquet file `name`."""
    buffer = BytesIO()
    frame.to_parquet(buffer, index=False)
    store(name, buffer.getvalue())


def read_table(name: str) -> pd.DataFrame:
    """The table that `store_table` wrote. Raises FileNotFoundError."""
    with default_storage.open(name) as file:
        return pd.read_parquet(BytesIO(file.read()))


def store(name: str, content: bytes) -> None:
    """Write `content` as the file `name`; the same content again changes nothing."""
    if default_storage.exists(name):
        with default_storage.open(name) as file:
            if file.read() == content:
                return
        # What is there was cut off when somebody was killed while writing it.
        default_storage.delete(name)
    default_storage.save(name, ContentFile(content))
