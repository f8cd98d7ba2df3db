"""`errata export`: what is written opens again with the same answers, and what a person has to mend is one line."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from peft import PeftModel
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from errata.agent.cli.main import main
from errata.agent.run.folder import RunFolder
from tests.agent.made_run import BASE, FIRST, SECOND
from tests.exported_run import make_exported_run

HOUSE = Path(__file__).resolve().parents[3]


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return make_exported_run(tmp_path / "runs")


def export(folder: RunFolder, *words: object) -> int:
    return main(["export", folder.id, "--runs-dir", str(folder.path.parent), *map(str, words)])


def complaint(capsys: pytest.CaptureFixture[str]) -> str:
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("errata: ")
    assert err.count("\n") == 1, err
    return err


def logits(model: Any, processor: Any, picture: Path) -> torch.Tensor:
    turns = [{"role": "user", "content": [{"type": "text", "text": "What colour is it ?"}, {"type": "image"}]}]
    text = processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    inputs = processor(text=[text], images=[[Image.open(picture)]], return_tensors="pt")
    with torch.inference_mode():
        found: torch.Tensor = model(**inputs).logits
    return found


def test_adapter_and_merged_weights_open_again_and_agree(
    folder: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert export(folder, "--merged", "--out", out, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["run"], said["checkpoint"], said["folder"], said["pushed"]) == (folder.id, FIRST, str(out), [])
    assert ["--base OWNER/NAME" in note for note in said["notes"]] == [True]
    assert {"README.md", "adapter_config.json", "adapter_model.safetensors"} < set(said["files"])
    config = json.loads((out / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(folder.path.parent / "base")
    picture = next((folder.path.parent / "pictures-made-1").glob("*.png"))
    base = AutoModelForImageTextToText.from_pretrained(config["base_model_name_or_path"])
    processor = AutoProcessor.from_pretrained(out / "merged")
    plain = logits(base, processor, picture)
    adapted = logits(PeftModel.from_pretrained(base, str(out)), processor, picture)
    merged = logits(AutoModelForImageTextToText.from_pretrained(out / "merged"), processor, picture)
    assert not torch.allclose(plain, adapted, atol=1e-3), "the adapter changes what the base says"
    assert torch.allclose(adapted, merged, atol=1e-4)
    assert not list((out / "merged").glob("*.bin"))
    assert (out / "merged" / "model.safetensors").stat().st_mode & 0o044
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "runs"], "nothing is left beside it"


def test_merged_weights_keep_the_precision_of_the_base(folder: RunFolder, tmp_path: Path) -> None:
    base = folder.path.parent / "base"
    AutoModelForImageTextToText.from_pretrained(base, dtype=torch.bfloat16).save_pretrained(base)
    assert export(folder, "--merged", "--out", tmp_path / "out") == 0
    plain = AutoModelForImageTextToText.from_pretrained(base, dtype="auto").state_dict()
    merged = AutoModelForImageTextToText.from_pretrained(tmp_path / "out" / "merged", dtype="auto").state_dict()
    assert {value.dtype for value in merged.values()} == {torch.bfloat16}
    changed = [name for name in plain if not torch.equal(plain[name], merged[name])]
    assert len(changed) == 14, "seven matrices of two layers"
    assert all("text_model.layers" in name for name in changed)


@pytest.mark.parametrize("form", ["adapter", "merged"])
def test_the_code_of_the_card_runs(
    form: str, folder: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    assert export(folder, "--out", out, *(["--merged"] if form == "merged" else [])) == 0
    card = ((out / "merged") if form == "merged" else out) / "README.md"
    code = re.findall(r"```python\n(.*?)```", card.read_text(), flags=re.S)
    assert len(code) == 1
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (64, 64), "red").save("picture.png")
    capsys.readouterr()
    exec(compile(code[0].replace("=256", "=4"), str(card), "exec"), {})
    assert capsys.readouterr().out.strip()


def test_the_card_says_what_the_checkpoint_is(folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = folder.path / "checkpoints" / FIRST
    (checkpoint / "parity.json").write_text('{"vllm": {"agreement": 0.984375}, "passed": true}')
    assert export(folder, "--base", "owner/base") == 0
    out = folder.path / "export" / FIRST
    assert f"{out / 'README.md'}" in capsys.readouterr().out
    text = (out / "README.md").read_text()
    front = yaml.safe_load(text.split("---\n")[1])
    assert (front["base_model"], front["base_model_relation"]) == ("owner/base", "adapter")
    assert front["library_name"] == "peft"
    assert (front["license"], front["license_name"]) == ("other", "see-the-card")
    assert json.loads((out / "adapter_config.json").read_text())["base_model_name_or_path"] == "owner/base"
    for line in (
        "| test | 45.0 % (31.0 to 59.0) | 62.5 % (48.5 to 76.5) | +17.5 (+10.0 to +25.0) | 40 |",
        "5 samples for its mistakes, and 1 of general data against forgetting.",
        "| bm25 | 5 |",
        "| CC-BY-4.0 | 2 |",
        "| not stated | 3 |",
        "| a \\| b | 3 |",
        "| picture is missing | 3 |",
        "| lora_rank | 128 |",
        "| seed | 3 |",
        "| steps | 4 |",
        "| vllm.agreement | 0.984375 |",
        "| passed | yes |",
        "No control was run on the same questions",
    ):
        assert line in text, line
    assert json.loads((out / "parity.json").read_text())["passed"] is True
    assert str(folder.path.parent) not in text.replace(str(out), ""), "no path of this machine but the folder itself"


def test_a_rejected_checkpoint_has_to_be_named(folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    (folder.path / "checkpoints" / FIRST).rename(folder.path / "checkpoints" / SECOND)
    assert export(folder, "--checkpoint", SECOND) == 0
    text = (folder.path / "export" / SECOND / "README.md").read_text()
    assert "rejected: the gain is within noise." in text
    assert "| gate | 40.0 % (26.0 to 54.0) | 62.5 % (48.5 to 76.5) | not compared | 40 |" in text
    capsys.readouterr()


def test_without_an_accepted_checkpoint(folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    (folder.path / "comparisons.jsonl").unlink()
    assert export(folder) == 2
    assert complaint(capsys) == (
        f"errata: made-1: no checkpoint was accepted; name one that was rejected with --checkpoint: {FIRST}, {SECOND}\n"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--checkpoint", "9-none"), f"no such checkpoint (got '9-none'); there are {FIRST}, {SECOND}"),
        (("--checkpoint", BASE), "this is the base itself"),
        (("--checkpoint", SECOND), "adapter_config.json is missing"),
        (("--base", "no name"), "--base: no name of a model on the hub (got 'no name'); write OWNER/NAME"),
        (("--push", "a/b/c"), "--push: no name of a repository (got 'a/b/c'); write OWNER/NAME"),
        (("--push", "me/thing"), "the base has no name on the hub; give its name on the hub with --base"),
        (("--public",), "nothing is uploaded without --push"),
    ],
)
def test_wrong_words(words: tuple[str, ...], said: str, folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(folder.path.rglob("*"))
    assert export(folder, *words) == 2
    assert said in complaint(capsys)
    assert sorted(folder.path.rglob("*")) == before


def test_wrong_places(folder: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("x")
    for place, said in (
        ("file", "a file stands where a folder is needed"),
        ("file/below", "a file stands where a folder is needed"),
        ("full", "the folder is not empty"),
    ):
        assert export(folder, "--out", tmp_path / place) == 2
        assert f"--out: {said}" in complaint(capsys)
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["mine"]
    (tmp_path / "empty").mkdir()
    assert export(folder, "--out", tmp_path / "empty") == 0
    assert (tmp_path / "empty" / "README.md").is_file()


def test_damaged_weights(folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder.path / "checkpoints" / FIRST / "adapter_model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert export(folder) == 2
    assert "these are not the weights that the run trained and measured" in complaint(capsys)
    path.write_bytes(whole[:40])
    assert export(folder) == 2
    assert "the adapter cannot be read" in complaint(capsys)
    assert not (folder.path / "export").exists()


def test_a_base_that_is_not_the_one(folder: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.tiny_student import build_student

    base = folder.path.parent / "base"
    base.rename(tmp_path / "away")
    assert export(folder) == 2
    assert "the base cannot be read" in complaint(capsys)
    build_student(base, layers=1)
    assert export(folder, "--merged", "--base", "owner/base") == 2
    out, err = capsys.readouterr()
    assert "tensors do not fit the base" in err.splitlines()[-1]
    assert (out, list((folder.path / "export").iterdir())) == ("", [])


def test_a_disk_that_is_full_before_the_end(
    folder: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files may grow to the size of the adapter, not to that of the merged weights."""
    whole = resource.getrlimit(resource.RLIMIT_FSIZE)
    largest = (folder.path / "checkpoints" / FIRST / "adapter_model.safetensors").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, whole[1]))
    try:
        code = export(folder, "--merged", "--out", tmp_path / "out", "--json")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, whole)
    assert code == 2
    said = json.loads(capsys.readouterr().err)
    assert said["error"].startswith("cannot write the export (")
    assert said["where"] == str(tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["runs"]


def push(folder: RunFolder, out: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, with a hub of its own."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and not k.lower().endswith("_proxy")}
    command = [sys.executable, "-m", "errata.agent", "export", folder.id, "--runs-dir", str(folder.path.parent)]
    command += ["--base", "owner/base", "--push", "me/thing", "--out", str(out), *words]
    env = {**clean, "HF_HOME": str(folder.path), "HF_TOKEN": "hf_secret", **variables}
    return subprocess.run(command, cwd=HOUSE, env=env, capture_output=True, text=True, timeout=100, check=False)


def test_push_sends_the_folder_and_is_private(folder: RunFolder, tmp_path: Path) -> None:
    server = subprocess.Popen([sys.executable, "-m", "tests.hub_server"], cwd=HOUSE, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    hub = f"http://127.0.0.1:{int(server.stdout.readline())}"
    done = push(folder, tmp_path / "out", "--merged", "--json", HF_ENDPOINT=hub)
    server.kill()
    seen = [json.loads(line) for line in server.stdout.read().splitlines()]
    server.wait()
    assert done.returncode == 0, done.stderr
    assert "hf_secret" not in done.stdout + done.stderr
    assert len(json.loads(done.stdout)["pushed"]) == 2
    made = [s["create"] for s in seen if "create" in s]
    assert [(m["name"], m["organization"]) for m in made] == [("thing", "me"), ("thing-merged", "me")]
    assert all(m.get("private", m.get("visibility") == "private") for m in made)
    adapter, merged = (s["files"] for s in seen if "commit" in s)
    assert set(adapter) == {"README.md", "adapter_config.json", "adapter_model.safetensors"}
    assert merged["model.safetensors"] == (tmp_path / "out" / "merged" / "model.safetensors").stat().st_size
    assert 'base, adapter = "owner/base", "me/thing"' in (tmp_path / "out" / "README.md").read_text()


def test_push_without_a_network_keeps_the_folder(folder: RunFolder, tmp_path: Path) -> None:
    done = push(folder, tmp_path / "out", HF_ENDPOINT="http://127.0.0.1:9")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "errata: me/thing: cannot push to http://127.0.0.1:9" in done.stderr
    assert f"hf upload me/thing {tmp_path / 'out'}" in done.stderr
    assert (tmp_path / "out" / "adapter_model.safetensors").is_file()
