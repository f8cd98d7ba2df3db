"""From a YAML file and dotted overrides to `Settings`; every error names file, line, key, value and remedy."""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml  # type: ignore[import-untyped,unused-ignore]
from pydantic import BaseModel, ValidationError

from errata.agent.settings.keys import hide_password
from errata.agent.settings.older import upgrade_settings
from errata.agent.settings.places import CODE
from errata.agent.settings.tree import Settings
from errata.tools.errors import OperatorError
from errata.tools.skills.store import refuse_no_store
from errata.tools.student.source import find_base, is_hub_name

DATA_VARIABLE = "ERRATA_DATA"
"""Environment variable that the command line hands on as `data_root`."""
SPLITS = ("pool", "diagnosis", "gate", "test")
EMBEDDED = "embedded"
"""Name of the embedded world's student, wherever the package is installed."""
HUB = "huggingface"
"""The one format whose path may be a name instead: a dataset on the hub."""


class _Loader(yaml.SafeLoader):  # type: ignore[misc,unused-ignore]
    """YAML with the numbers of YAML 1.2: PyYAML alone reads 2e-4 as text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def load_settings(
    path: Path, overrides: Sequence[str] = (), *, data_root: str | None = None, saved: bool = False
) -> Settings:
    """Read `path`, apply `key.path=value` overrides in order, check everything, and resolve relative paths.

    Paths in the file are relative to the file's folder (sources: to `data.root` where given); paths in
    overrides are relative to the current folder. `data_root` (what ERRATA_DATA says) stands in for `data.root`
    where sources are given and neither file nor overrides give it. `saved`: the file is a run's own, which an older
    version may have written. Raises OperatorError for the first thing that has to be mended.
    """
    text = _read(path)
    tree, lines = _parse(text, path)
    tree = upgrade_settings(tree) if saved else tree
    origin: dict[str, str] = {}
    for override in overrides:
        key = _apply(tree, override)
        origin[key] = f"command line: {hide_password(override)}"
    data = tree.get("data")
    if data_root and isinstance(data, dict) and not data.get("world") and not data.get("root"):
        data["root"], origin["data.root"] = data_root, DATA_VARIABLE
    where = _Where(path, lines, origin)
    _resolve_paths(tree, base=path.resolve().parent, where=where)
    settings = _validate(tree, where)
    _check_files(settings, where)
    return settings


def dump_settings(settings: Settings) -> str:
    """The whole tree as YAML, readable by `load_settings`."""
    return str(yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True))


class _Where:
    """Names the place in file or command line that a dotted key came from."""

    def __init__(self, path: Path, lines: Mapping[str, int], origin: Mapping[str, str]) -> None:
        self.path, self.lines, self.origin = path, lines, origin

    def __call__(self, key: str) -> str:
        probe = key
        while probe:
            if probe in self.origin:
                return f"{self.origin[probe]}: {key}"
            if probe in self.lines:
                return f"{self.path}:{self.lines[probe]}: {key}"
            below = next((origin for k, origin in self.origin.items() if k.startswith(probe + ".")), None)
            if below is not None:
                return f"{below}: {key}"
            probe = probe.rpartition(".")[0]
        return f"{self.path}: {key}" if key else str(self.path)

    def on_command_line(self, key: str) -> bool:
        return any(key == k or key.startswith(k + ".") for k in self.origin)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise OperatorError("not a text file in UTF-8", where=str(path), remedy="save it as UTF-8") from None
    except OSError as error:
        found = sorted(p.name for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        remedy = f"there are {', '.join(found)}" if found else "name a YAML file with settings"
        what = f"cannot read the settings file ({error.strerror})"
        raise OperatorError(what, where=str(path), remedy=remedy) from None


def _parse(text: str, path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """The tree, and the 1-based line of every dotted key."""
    try:
        node = yaml.compose(text, Loader=_Loader)
        tree = yaml.load(text, Loader=_Loader)
        keys = list(_key_lines(node, ""))
    except RecursionError:
        raise OperatorError("nested too deep", where=str(path), remedy="take out what refers to itself") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        what = f"not valid YAML ({getattr(error, 'problem', None) or error})"
        raise OperatorError(what, where=where, remedy="mend the line; indent with spaces") from None
    if not isinstance(tree, dict):
        what = "the file is empty" if tree is None else "the file does not hold keys and values"
        raise OperatorError(what, where=str(path), remedy="start from runs/configs/demo.yaml")
    lines: dict[str, int] = {}
    for key, line in keys:
        if key in lines:
            raise OperatorError("the key stands twice", where=f"{path}:{line}: {key}", remedy="remove one of them")
        lines[key] = line
    return tree, lines


def _key_lines(node: Any, prefix: str) -> Iterator[tuple[str, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            dotted = f"{prefix}{key.value}"
            yield dotted, key.start_mark.line + 1
            yield from _key_lines(value, f"{dotted}.")


def _apply(tree: dict[str, Any], override: str) -> str:
    """Set one `key.path=value` in the tree; returns the dotted key."""
    key, equals, raw = override.partition("=")
    key = key.strip()
    where = f"command line: {hide_password(override)}"
    if not equals or not key or any(not part for part in key.split(".")):
        raise OperatorError("not an override", where=where, remedy="write key.path=value, e.g. train.epochs=3")
    try:
        value = yaml.load(raw, Loader=_Loader)
    except yaml.YAMLError:
        raise OperatorError("the value is not valid YAML", where=where, remedy="quote it") from None
    *branches, leaf = key.split(".")
    node = tree
    for branch in branches:
        if node.get(branch) is None:
            node[branch] = {}
        node = node[branch]
        if not isinstance(node, dict):
            raise OperatorError(f"{branch} is a value, not a branch", where=where, remedy=_closest(key)) from None
    node[leaf] = value
    return key


def _resolve_paths(tree: dict[str, Any], *, base: Path, where: _Where) -> None:
    """Make the paths of the tree absolute, so that the saved settings work from any folder."""

    def absolute(holder: Any, leaf: str, key: str, start: Path, *, start_fixed: bool = False) -> None:
        if isinstance(holder, dict) and isinstance(holder.get(leaf), str):
            if "\0" in holder[leaf]:
                raise OperatorError("no path", where=where(key), value=holder[leaf], remedy="take the zero byte out")
            origin = start if start_fixed or not where.on_command_line(key) else Path.cwd()
            holder[leaf] = str((origin / os.path.expanduser(holder[leaf])).resolve())

    student = tree.get("student")
    if isinstance(student, dict) and student.get("base") == EMBEDDED:
        student["base"] = str(CODE / "tools" / "world" / "student")
    if isinstance(student, dict) and is_hub_name(str(student.get("base"))):
        model = str(student["base"])
        if not any((start / model.partition("/")[0]).is_dir() for start in (base, Path.cwd())):
            student["base"] = find_base(model, where=where("student.base"))
    absolute(student, "base", "student.base", base)
    teacher = tree.get("teacher")
    absolute(teacher.get("local") if isinstance(teacher, dict) else None, "folder", "teacher.local.folder", base)
    rivals = tree.get("rivals")
    if isinstance(rivals, dict) and rivals.get("embedder") != "hashing":
        absolute(rivals, "embedder", "rivals.embedder", base)
    absolute(rivals, "language_model", "rivals.language_model", base)
    absolute(tree.get("skills"), "store", "skills.store", base)
    absolute(teacher.get("chat") if isinstance(teacher, dict) else None, "store", "teacher.chat.store", base)
    retrieve = tree.get("retrieve")
    if isinstance(retrieve, dict) and retrieve.get("embedding") == "encoder":
        absolute(retrieve, "embedding_model", "retrieve.embedding_model", base)
    data = tree.get("data")
    absolute(data, "root", "data.root", base)
    if isinstance(data, dict):
        rooted = isinstance(data.get("root"), str)
        start = Path(data["root"]) if rooted else base
        for split in SPLITS:
            source = data.get(split)
            name = source.get("path") if isinstance(source, dict) else None
            absolute(source, "path", f"data.{split}.path", start, start_fixed=rooted)
            absolute(source, "image_root", f"data.{split}.image_root", start, start_fixed=rooted)
            if isinstance(source, dict) and source.get("format") == HUB and not os.path.exists(source["path"]):
                source["path"] = name


def _validate(tree: dict[str, Any], where: _Where) -> Settings:
    try:
        text = json.dumps(tree)
    except TypeError as error:
        raise OperatorError(
            f"a value is no text, number or list ({error})", where=where(""), remedy="quote it"
        ) from None
    try:
        return Settings.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise _operator_error(error, where) from None


def _operator_error(error: ValidationError, where: _Where) -> OperatorError:
    """The first complaint of pydantic as one line."""
    found = error.errors(include_url=False)
    first = found[0]
    key = ".".join(str(part) for part in first["loc"])
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    if first["type"] == "extra_forbidden":
        return OperatorError(f"unknown key{more}", where=where(key), value=first["input"], remedy=_closest(key))
    if first["type"] == "missing":
        return OperatorError(f"the key is missing{more}", where=where(key), remedy=f"give {key}")
    if first["type"] == "value_error":
        what, _, remedy = str(first["ctx"]["error"]).partition("; ")
        return OperatorError(f"{what}{more}", where=where(key), remedy=remedy)
    message = first["msg"][0].lower() + first["msg"][1:]
    return OperatorError(f"wrong value{more}", where=where(key), value=first["input"], remedy=message)


def valid_keys(kind: type[BaseModel] = Settings, prefix: str = "") -> Iterator[str]:
    """Every dotted key of the tree, branches included."""
    for name, field in kind.model_fields.items():
        yield prefix + name
        for option in (field.annotation, *get_args(field.annotation)):
            if isinstance(option, type) and issubclass(option, BaseModel):
                yield from valid_keys(option, f"{prefix}{name}.")


def _closest(key: str) -> str:
    """Remedy naming the valid key that is most like `key`, by its last part where the branch fits."""
    keys = list(valid_keys())
    branch, _, leaf = key.rpartition(".")
    siblings = [k for k in keys if k.rpartition(".")[0] == branch]
    near = difflib.get_close_matches(key, siblings, 1, 0.6)
    near = near or [k for k in keys if k.rpartition(".")[2] == leaf][:1]
    near = near or difflib.get_close_matches(key, keys, 1, 0.6)
    if near:
        return f"did you mean {near[0]}?"
    return f"valid keys here: {', '.join(siblings or [k for k in keys if '.' not in k])}"


def _check_files(settings: Settings, where: _Where) -> None:
    if not os.path.isdir(settings.student.base):
        remedy = "name the folder with the model and its processor"
        raise OperatorError("no such folder", where=where("student.base"), value=settings.student.base, remedy=remedy)
    folders = {f"rivals.{leaf}": getattr(settings.rivals, leaf) for leaf in ("embedder", "language_model")}
    if settings.retrieve.embedding == "encoder":
        folders["retrieve.embedding_model"] = settings.retrieve.embedding_model
    for key, folder in folders.items():
        if folder is not None and folder != "hashing" and not os.path.isdir(folder):
            remedy = "name the folder with the model and its tokenizer"
            raise OperatorError("no such folder", where=where(key), value=folder, remedy=remedy)
    if settings.skills.store is not None:
        refuse_no_store(Path(settings.skills.store), where=where("skills.store"))
    root = settings.data.root
    if root is not None and settings.data.world is None and not os.path.isdir(root):
        remedy = f"name the folder that holds the data with data.root=FOLDER or {DATA_VARIABLE}=FOLDER"
        raise OperatorError("no such folder", where=where("data.root"), value=root, remedy=remedy)
    for split in SPLITS:
        source = getattr(settings.data, split)
        if source is not None and source.format != HUB and not os.path.exists(source.path):
            remedy = "name an existing file, or the folder that holds it with data.root=FOLDER or "
            remedy += f"{DATA_VARIABLE}=FOLDER"
            raise OperatorError("no such file", where=where(f"data.{split}.path"), value=source.path, remedy=remedy)
