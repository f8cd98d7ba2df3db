import os
import subprocess
import sys

import pytest

from errata.tools.errors import OperatorError
from errata.tools.student.source import find_base, is_hub_name
from tests.tiny_student import shared_folder


@pytest.mark.parametrize(
    ("text", "is_name"),
    [
        ("Qwen/Qwen2.5-VL-7B-Instruct", True),
        ("llava-hf/llava-1.5-7b-hf", True),
        ("embedded", False),
        ("/models/llava", False),
        ("a/b/c", False),
        ("../llava", False),
        ("./x/y", False),
        ("a/", False),
    ],
)
def test_names_on_a_hub_are_told_from_paths(text, is_name):
    assert is_hub_name(text) == is_name


def test_a_model_in_the_hubs_cache_is_found_without_a_network_and_another_is_one_line(tmp_path):
    """In processes of their own: the hub's library reads where its cache lies, and that it is offline, once."""
    snapshot = tmp_path / "hub" / "models--ours--tiny" / "snapshots" / "0123456789abcdef0123456789abcdef01234567"
    snapshot.parent.mkdir(parents=True)
    snapshot.symlink_to(shared_folder() / "base")
    refs = tmp_path / "hub" / "models--ours--tiny" / "refs"
    refs.mkdir()
    (refs / "main").write_text(snapshot.name)
    environment = os.environ | {"HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    code = (
        "import sys\nfrom errata.tools.errors import OperatorError\nfrom errata.tools.student.source import find_base\n"
        "try:\n    print(find_base(sys.argv[1], where='student.base'))\n"
        "except OperatorError as error:\n    print('line:', error)"
    )

    def ask(name: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code, name], env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    assert ask("ours/tiny") == str(snapshot)
    assert ask("ours/absent").startswith("line: student.base: neither a folder nor a model that the hub gives")
    assert "ours/absent" in ask("ours/absent")


def test_a_folder_is_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert find_base("a/b", where="x") == "a/b"
    assert find_base(str(tmp_path), where="x") == str(tmp_path)


def test_code_of_a_models_folder_is_not_run_unless_the_settings_say_so(tmp_path):
    import json
    import shutil

    from errata.tools.student.load import open_student

    base = tmp_path / "base"
    shutil.copytree(shared_folder() / "base", base)
    config = json.loads((base / "config.json").read_text())
    config |= {
        "model_type": "mine",
        "auto_map": {"AutoConfig": "mine.MineConfig", "AutoModelForImageTextToText": "mine.M"},
    }
    (base / "config.json").write_text(json.dumps(config))
    ran = tmp_path / "ran"
    (base / "mine.py").write_text(f"open({str(ran)!r}, 'w').close()\nclass MineConfig: pass\nclass M: pass\n")
    with pytest.raises(OperatorError, match="cannot load the base"):
        open_student(str(base), adapter=None, device="cpu")
    assert not ran.exists()
