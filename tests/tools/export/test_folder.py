"""Folders of exports: complete or not there, and only of weights that can be read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from errata.tools.errors import OperatorError
from errata.tools.export.adapter import check_weights, hash_file
from errata.tools.export.folder import check_folder, write_export
from errata.tools.export.push import check_repository
from tests.tools.export.test_card import make_card


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """The outside of an adapter: one tensor."""
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text('{"r": 4, "base_model_name_or_path": "/old"}')
    save_file({"a": np.zeros(3, np.float32)}, folder / "adapter_model.safetensors")
    (folder / "job.json").write_text("everything that it was trained on")
    return folder


def test_only_what_an_adapter_needs_is_copied(adapter: Path, tmp_path: Path) -> None:
    card = make_card(base={"revision": "abc"})
    files = write_export(card, adapter=adapter, out=tmp_path / "new" / "out", merged=False)
    assert [p.name for p in files] == ["README.md", "adapter_config.json", "adapter_model.safetensors"]
    config = json.loads(files[1].read_text())
    assert config == {"r": 4, "base_model_name_or_path": "o/m", "revision": "abc", "inference_mode": True}
    assert f'"{tmp_path / "new" / "out"}"' in files[0].read_text()
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["out"]


def test_a_failure_leaves_nothing_behind(adapter: Path, tmp_path: Path) -> None:
    (adapter / "adapter_config.json").write_text("{")
    with pytest.raises(OperatorError, match=r"adapter_config\.json: not JSON"):
        write_export(make_card(), adapter=adapter, out=tmp_path / "out", merged=False)
    (adapter / "adapter_config.json").unlink()
    with pytest.raises(OperatorError, match=r"cannot write the export \(No such file or directory\)"):
        write_export(make_card(), adapter=adapter, out=tmp_path / "out", merged=False)
    assert [p.name for p in tmp_path.iterdir()] == ["adapter"]


def test_places(tmp_path: Path) -> None:
    check_folder(tmp_path / "new" / "deeper")
    (tmp_path / "empty").mkdir()
    check_folder(tmp_path / "empty")
    (tmp_path / "file").write_text("x")
    (tmp_path / "lost").symlink_to(tmp_path / "nowhere")
    for place, what in (("file", "a file stands"), ("lost", "a file stands"), (".", "the folder is not empty")):
        with pytest.raises(OperatorError, match=f"--out: {what}"):
            check_folder(tmp_path / place)


def test_weights_are_those_that_were_trained(adapter: Path) -> None:
    path = adapter / "adapter_model.safetensors"
    digest = hash_file(path)
    assert len(digest) == 64
    check_weights(adapter, digest=digest[:16])
    check_weights(adapter, digest=None)
    with pytest.raises(OperatorError, match="not the weights that the run trained and measured"):
        check_weights(adapter, digest="0" * 16)
    save_file({}, path)
    with pytest.raises(OperatorError, match="the adapter is empty"):
        check_weights(adapter, digest=None)
    path.unlink()
    with pytest.raises(OperatorError, match=r"adapter_model\.safetensors is missing"):
        check_weights(adapter, digest=None)


def test_names_of_repositories() -> None:
    check_repository("me/" + "a" * 93)
    for name in ("me", "me/" + "a" * 94, "me/a..b", "me/a--b", "/a", "me/-a", "me/a b", ""):
        with pytest.raises(OperatorError, match="no name of a repository"):
            check_repository(name)
