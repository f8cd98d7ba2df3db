"""What the tests of the data room share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data_rows import png


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for colour in ("red", "blue"):
        (tmp_path / f"images/{colour}.png").write_bytes(png(colour))
    return tmp_path
