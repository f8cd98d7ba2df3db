"""Settings that older versions wrote into run folders, read as today's: a run that was begun can always go on.

Two formats of the first versions were named after the datasets that they read. Today a field map says the same. The
maps stand here only so that such a run is resumed, shown and reported. New settings are refused under the old names.
"""

from __future__ import annotations

import os
from typing import Any

SPLITS = ("pool", "diagnosis", "gate", "test")
QUESTION_ROWS: dict[str, Any] = {
    "fields": {
        "id": "id",
        "question": "question",
        "context": "context?",
        "choices": "choices",
        "target": ["answer", "answer_letter"],
        "images": "image?",
        "skills": "skill|skill_inferred|topic|topic_inferred",
        "metadata": ["pid?", "subject?", "category?", "grade?", "topic?"],
        "elsewhere": "has_image_upstream",
    },
    "leave_out": {"n_choice_images_upstream": True},
}
POOL_ROWS: dict[str, Any] = {
    "fields": {
        "id": "id",
        "question": "question",
        "choices": "choices",
        "target": ["answer", "answer_text"],
        "rationale": "rationale?",
        "images": "image?",
        "skills": "skills?",
        "metadata": ["source?", "topic?", "license?", "split?", "skill_source?"],
        "elsewhere": ["caption", "coco_image", "upstream_image", "upstream_images"],
    },
    "leave_out": {"benchmark_only": True},
}
FILES = {"pool": "train.jsonl", "diagnosis": "val.jsonl", "gate": "val.jsonl", "test": "test.jsonl"}


def upgrade_settings(tree: Any) -> Any:
    """The settings tree with older names replaced by today's; everything else is unchanged."""
    if not isinstance(tree, dict):
        return tree
    data = tree.get("data")
    if isinstance(data, dict):
        changed = {split: _upgrade_source(data[split], split) for split in SPLITS if isinstance(data.get(split), dict)}
        tree = {**tree, "data": {**data, **changed}}
    teacher = tree.get("teacher")
    chat = teacher.get("chat") if isinstance(teacher, dict) else None
    if isinstance(chat, dict) and "patience" in chat:
        renamed = {"retries" if key == "patience" else key: value for key, value in chat.items()}
        tree = {**tree, "teacher": {**teacher, "chat": renamed}}
    return tree


def _upgrade_source(source: dict[str, Any], split: str) -> dict[str, Any]:
    format, path = source.get("format"), str(source.get("path"))
    if format == "scienceqa":
        file = os.path.join(path, FILES[split]) if os.path.isdir(path) else path
        images = source.get("images") or "required"
        return {**source, **QUESTION_ROWS, "format": "table", "path": file, "images": images}
    if format == "support_corpus":
        file = os.path.join(path, "support_corpus.jsonl.gz") if os.path.isdir(path) else path
        root = source.get("image_root") or os.path.dirname(os.path.dirname(os.path.abspath(file)))
        return {**source, **POOL_ROWS, "format": "table", "path": file, "image_root": root}
    return source
