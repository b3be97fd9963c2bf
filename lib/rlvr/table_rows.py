"""Rows of tables of which code knows the columns by name."""

from collections.abc import Iterator
from typing import Any

import pandas as pd


def table_rows(table: pd.DataFrame) -> Iterator[Any]:
    """The rows as named tuples, `Index` among the names; what is in a column shows when it is read."""
    return iter(table.itertuples())


def table_records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as records, without the index; columns have texts for names."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
