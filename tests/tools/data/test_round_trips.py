"""What is written is read by the programs that train elsewhere: the datasets library and chat templates."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from errata.tools.data.read import read_problems
from errata.tools.data.write import WriteFormat, write_problems
from errata.tools.records import ImageRef, Problem
from tests.tiny_student import build_tokenizer

NAMES: dict[WriteFormat, str] = {"llava": "train.json", "sharegpt": "train.json", "messages": "train.jsonl"}
TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }}: {% for part in m['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %}\n{% endfor %}"
)


def make_problems(folder: Path) -> list[Problem]:
    """One without a picture, one with one, one with two; free-form and with choices."""
    (folder / "images").mkdir(parents=True)
    refs = []
    for colour in ("red", "blue"):
        path = folder.resolve() / "images" / f"{colour}.png"
        Image.new("RGB", (64, 64), colour).save(path)
        refs.append(ImageRef(path=str(path), sha256=hashlib.sha256(path.read_bytes()).hexdigest()))
    choices = ("red", "blue")
    return [
        Problem(id="a", question="What colour ?", choices=choices, target="A", images=(refs[0],), skills=("colour",)),
        Problem(id="b", question="How many ?", target="two", scoring="exact", metadata={"source": "x", "n": [1]}),
        Problem(id="c", question="Is it the shape ?", choices=choices, target="B", images=tuple(refs), rationale="So."),
    ]


@pytest.mark.parametrize("name", NAMES)
def test_the_datasets_library_reads_it_and_we_read_that(tmp_path: Path, name: WriteFormat) -> None:
    """File -> datasets -> a saved dataset -> problems: nothing has changed."""
    datasets = pytest.importorskip("datasets")
    problems = make_problems(tmp_path)
    file = tmp_path / NAMES[name]
    write_problems(problems, file=file, format=name)
    rows = [json.loads(line) for line in file.read_text().splitlines()] if name == "messages" else json.loads(
        file.read_text()
    )
    loaded = datasets.load_dataset("json", data_files=str(file), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded.num_rows == len(rows) == 3
    assert loaded["id"][:] == ["a", "b", "c"]
    saved = tmp_path / "saved"
    loaded.save_to_disk(str(saved))
    (tmp_path / "images").rename(saved / "images")
    found = read_problems(saved, split="pool", format="huggingface", max_bad_share=0).problems
    assert [p.model_copy(update={"images": ()}) for p in found] == [
        p.model_copy(update={"images": ()}) for p in problems
    ]
    assert [[i.sha256 for i in p.images] for p in found] == [[i.sha256 for i in p.images] for p in problems]


def test_a_dataset_with_decoded_pictures_is_read_by_its_columns(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    problems = make_problems(tmp_path)
    paths = [p.images[0].path if p.images else None for p in problems]
    columns: dict[str, list[Any]] = {
        "question": [p.question for p in problems],
        "choices": [list(p.choices) for p in problems],
        "answer": [p.target for p in problems],
        "image": paths,
    }
    made = datasets.Dataset.from_dict(columns).cast_column("image", datasets.Image())
    both = datasets.DatasetDict({"train": made, "validation": made.select([0])})
    both.save_to_disk(str(tmp_path / "saved"))
    how: dict[str, Any] = {"format": "huggingface", "max_bad_share": 0, "pictures": tmp_path / "kept"}
    pool = read_problems(tmp_path / "saved", split="pool", **how)
    gate = read_problems(tmp_path / "saved", split="gate", **how)
    assert [(p.question, p.target, len(p.images)) for p in pool.problems] == [
        ("What colour ?", "A", 1),
        ("How many ?", "two", 0),
        ("Is it the shape ?", "B", 1),
    ]
    assert pool.problems[0].images[0].sha256 == problems[0].images[0].sha256
    assert len(gate.problems) == 1


@pytest.fixture(scope="module")
def processor() -> Any:
    """A processor of the kind that students have, with a template that shows every part."""
    from transformers import Idefics3ImageProcessorPil, Idefics3Processor

    pictures = Idefics3ImageProcessorPil(
        do_image_splitting=False,
        size={"longest_edge": 64},
        max_image_size={"longest_edge": 64},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    return Idefics3Processor(pictures, build_tokenizer(), image_seq_len=16, chat_template=TEMPLATE)


def test_a_chat_template_reads_messages_and_the_processor_finds_the_pictures(tmp_path: Path, processor: Any) -> None:
    problems = make_problems(tmp_path)
    write_problems(problems, file=tmp_path / "m.jsonl", format="messages")
    rows = [json.loads(line) for line in (tmp_path / "m.jsonl").read_text().splitlines()]
    texts = [processor.apply_chat_template(row["messages"], tokenize=False).strip() for row in rows]
    assert [text.count("<image>") for text in texts] == [1, 0, 2]
    assert texts[0].startswith("user: <image>What colour ?\nA. red\nB. blue\nAnswer with")
    assert texts[0].endswith("assistant: A")
    assert texts[2].endswith("assistant: So. The answer is B.")
    for row, text in zip(rows, texts, strict=True):
        opened = [Image.open(tmp_path / path).convert("RGB") for path in row["images"]]
        batch = processor(text=[text], images=[opened] if opened else None, return_tensors="pt")
        shape = tuple(batch["pixel_values"].shape)[:2] if opened else None
        assert shape == ((1, len(opened)) if opened else None)


@pytest.mark.parametrize("name", ["llava", "sharegpt"])
def test_marks_of_written_conversations_fit_the_pictures_in_a_chat_template(
    tmp_path: Path, processor: Any, name: WriteFormat
) -> None:
    """The way other trainers go: marks become parts, in order."""
    write_problems(make_problems(tmp_path), file=tmp_path / "a.json", format=name)
    for row in json.loads((tmp_path / "a.json").read_text()):
        said = [turn["value"].split("<image>\n") for turn in row["conversations"]]
        content = [
            [*({"type": "image"} for _ in pieces[1:]), {"type": "text", "text": pieces[-1]}] for pieces in said
        ]
        roles = ["user", "assistant"]
        messages = [{"role": role, "content": parts} for role, parts in zip(roles, content, strict=True)]
        text = processor.apply_chat_template(messages, tokenize=False)
        assert text.count("<image>") == len(row.get("images", row.get("image", [])) or [])
