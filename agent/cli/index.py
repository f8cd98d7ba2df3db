"""`errata index build | add | search | stats`: samples of any size by the skills that they need.

FOLDER/lexical holds the exact BM25 index, FOLDER/chroma the distinct skills, FOLDER/index.json which embedding was
chosen.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errata.tools.errors import OperatorError

if TYPE_CHECKING:
    from errata.tools.retrieve.chroma import SkillCollection
    from errata.tools.retrieve.index_files import Manifest
    from errata.tools.retrieve.lexical import Hit, SearchIndex, SkillIndex, Where
    from errata.tools.retrieve.segment import Sample
    from errata.tools.retrieve.sources import SampleSource
    from errata.tools.vectors import Embedding

CHOICE = "index.json"
OFF = "dense search is off: no embedding was chosen (--embedding)"


def run_index(arguments: argparse.Namespace) -> int:
    """Run one of the commands; returns the exit code."""
    actions = {"build": _build, "add": _add, "search": _search, "stats": _stats}
    result, lines = actions[arguments.action](arguments)
    print(json.dumps(result, ensure_ascii=False) if arguments.json else "\n".join(lines))
    return 0


Printed = tuple[dict[str, Any], list[str]]


def _build(arguments: argparse.Namespace) -> Printed:
    from errata.agent.cli.index_samples import open_samples
    from errata.tools.retrieve.index_files import build_index

    folder = arguments.folder
    choice = {name: getattr(arguments, name) for name in ("embedding", "model", "url", "key_env", "chroma")}
    dense = choice["embedding"] != "none"
    _check_choice(choice)
    names = (arguments.id or "id", arguments.skills or "skills")
    file, source = open_samples(arguments, names=names, fields=arguments.keep)
    made = build_index(
        folder / "lexical",
        file.read(),
        source=source,
        fields=arguments.keep,
        names=names,
    )
    (folder / CHOICE).write_text(json.dumps(choice) + "\n", encoding="utf-8")
    if dense:
        _open_collection(folder, _open_lexical(folder)).close()
    return _tell(folder, made, file, dense=dense)


def _add(arguments: argparse.Namespace) -> Printed:
    from errata.agent.cli.index_samples import open_samples
    from errata.tools.retrieve.index_files import add_samples, require_manifest

    folder = arguments.folder
    before, choice = require_manifest(folder / "lexical"), _read_choice(folder)
    dense = choice["embedding"] != "none"
    if dense:
        _check_choice(choice)
    names = (arguments.id or before.id_field, arguments.skills or before.skills_field)
    file, source = open_samples(arguments, names=names, fields=before.fields)
    new: dict[str, None] = {}
    made = add_samples(folder / "lexical", _note_skills(file.read(), new), source=source)
    if dense:
        index, collection = _open_lexical(folder), _make_collection(folder)
        collection.add({skill: index.count_samples(skill) for skill in new}, of=_stamp(made))
        collection.close()
    return _tell(folder, made, file, dense=dense)


def _note_skills(samples: Iterator[Sample], new: dict[str, None]) -> Iterator[Sample]:
    for sample in samples:
        new.update(dict.fromkeys(sample[1]))
        yield sample


def _search(arguments: argparse.Namespace) -> Printed:
    if not arguments.query.strip():
        raise OperatorError("nothing to look for", where="SKILL", value=arguments.query, remedy="give it in words")
    index = _open_lexical(arguments.folder)
    where = _parse_where(arguments.where)
    search = _choose_mode(arguments.folder, index, arguments.mode, where)
    hits = search.search(arguments.query, arguments.k)
    found = [_explain(index, arguments.query, hit) for hit in hits]
    result = {"query": arguments.query, "mode": arguments.mode, "index": str(arguments.folder), "hits": found}
    lines = [line for rank, entry in enumerate(found, start=1) for line in _hit_lines(rank, entry)]
    return result, lines or [f"no sample needs anything like {arguments.query!r}"]


def _explain(index: SkillIndex, query: str, hit: Hit) -> dict[str, Any]:
    why = [{**match._asdict(), "adds": round(match.adds, 6)} for match in index.explain(query, hit.sample_id)]
    return {"id": hit.sample_id, "score": hit.score, "skills": index.skills_of(hit.sample_id), "why": why}


def _hit_lines(rank: int, entry: dict[str, Any]) -> list[str]:
    matched = [
        f"{w['word']} {w['adds']:.3f}" + (f" (x{w['in_sample']})" if w["in_sample"] > 1 else "") for w in entry["why"]
    ]
    return [
        f"{rank:>3}  {entry['score']:.4f}  {entry['id']}",
        f"       skills: {'; '.join(entry['skills'])}",
        f"       why:    {', '.join(matched) or 'no word in common: near in meaning'}",
    ]


def _stats(arguments: argparse.Namespace) -> Printed:
    from errata.tools.retrieve.index_files import disk_bytes, require_manifest

    folder = arguments.folder
    manifest = require_manifest(folder / "lexical")
    index = _open_lexical(folder)
    counts = index.count_skills()
    top = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:10]
    embedding = _read_choice(folder)["embedding"]
    result = {
        "samples": len(index),
        "without_skill": sum(source.empty for source in manifest.sources),
        "skipped_rows": sum(source.skipped for source in manifest.sources),
        "skills": len(counts),
        "segments": len(manifest.parts),
        "fields": list(manifest.fields),
        "embedding": embedding,
        "bytes": disk_bytes(folder),
        "sources": [{"path": source.path, "sha256": source.sha256} for source in manifest.sources],
        "top_skills": [{"skill": skill, "samples": count} for skill, count in top],
    }
    lines = [
        f"samples   {len(index)}, {result['without_skill']} without a skill; "
        f"{result['skipped_rows']} rows were no samples",
        f"skills    {len(counts)} distinct",
        f"segments  {len(manifest.parts)}",
        f"metadata  {', '.join(manifest.fields) or 'none'}",
        f"dense     {embedding if embedding != 'none' else OFF}",
        f"on disk   {disk_bytes(folder) / 1e6:.1f} MB",
        *(f"source    {source.path} ({source.samples} samples, unchanged)" for source in manifest.sources),
        *(f"{count:>9}  {skill}" for skill, count in top),
    ]
    return result, lines


def _open_lexical(folder: Path) -> SkillIndex:
    from errata.tools.retrieve.index_files import open_index

    return open_index(folder / "lexical")


def _read_choice(folder: Path) -> dict[str, Any]:
    """The choice of embedding that was made when the index was built."""
    try:
        choice: dict[str, Any] = json.loads((folder / CHOICE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        remedy = "build the index anew"
        raise OperatorError("the choice of the embedding cannot be read", where=str(folder), remedy=remedy) from error
    return choice


def _check_choice(choice: Mapping[str, Any]) -> None:
    """Raise OperatorError for options that exclude each other, and for a model or server that cannot be reached.

    It runs before anything is built and embeds one text.
    """
    kind = choice["embedding"]
    wanted = {"encoder": {"model"}, "endpoint": {"model", "url"}}.get(kind, set())
    allowed = wanted | ({"key_env"} if kind == "endpoint" else set()) | ({"chroma"} if kind != "none" else set())
    for name in ("model", "url", "key_env", "chroma"):
        option, value = f"--{name.replace('_', '-')}", choice[name]
        if value is None and name in wanted:
            what = "the folder of the encoder" if kind == "encoder" else f"its {name}"
            raise OperatorError(f"the embedding {kind} needs {what}", where=option, remedy=f"give {option}")
        if value is not None and name not in allowed:
            remedy = "leave it out, or choose another --embedding"
            raise OperatorError(f"the embedding {kind} does not use this", where=option, value=value, remedy=remedy)
        if value is not None and name in ("url", "chroma") and not value.startswith(("http://", "https://")):
            remedy = "write http://HOST:PORT"
            raise OperatorError("no address of a server", where=option, value=value, remedy=remedy)
    if kind != "none":
        from errata.tools.retrieve.chroma import check_server

        _make_embedding(choice)(["a word"])
        if choice["chroma"]:
            check_server(choice["chroma"])


def _make_embedding(choice: Mapping[str, Any]) -> Embedding:
    from errata.tools.retrieve.embeddings import EmbeddingOptions, make_embedding

    encoder, key_env = choice["embedding"] == "encoder", choice["key_env"]
    if key_env and not os.environ.get(key_env):
        remedy = f"export {key_env}=..."
        raise OperatorError("the environment variable is not set", where="--key-env", value=key_env, remedy=remedy)
    options = EmbeddingOptions(
        kind=choice["embedding"],
        folder=choice["model"] if encoder else None,
        model=None if encoder else choice["model"],
        base_url=choice["url"],
    )
    return make_embedding(options, key=os.environ.get(key_env) if key_env else None)


def _make_collection(folder: Path) -> SkillCollection:
    from errata.tools.retrieve.chroma import SkillCollection

    choice = _read_choice(folder)
    return SkillCollection(folder / "chroma", embedding=_make_embedding(choice), server=choice["chroma"])


def _open_collection(folder: Path, index: SkillIndex) -> SkillCollection:
    """The skills in Chroma, brought up to the lexical index where they are behind it."""
    from errata.tools.retrieve.index_files import require_manifest

    collection, stamp = _make_collection(folder), _stamp(require_manifest(folder / "lexical"))
    if not collection.is_of(stamp):
        collection.build(index.count_skills(), of=stamp)
    return collection


def _stamp(manifest: Manifest) -> str:
    """Digest of an index's content; the cut into segments does not change it."""
    return " ".join(source.sha256 for source in manifest.sources)


def _choose_mode(folder: Path, index: SkillIndex, mode: str, where: Where) -> SearchIndex:
    from errata.tools.retrieve.dense import DenseIndex, FilteredIndex

    if mode == "bm25":
        return FilteredIndex(index, where)
    if _read_choice(folder)["embedding"] == "none":
        remedy = "build the index with --embedding hashing, encoder, endpoint or chroma; or use --mode bm25"
        raise OperatorError(
            "dense search is off: the index has no embedding", where="--mode", value=mode, remedy=remedy
        )
    dense = DenseIndex(_open_collection(folder, index), index)
    if mode == "dense":
        return FilteredIndex(dense, where)
    from errata.tools.retrieve.select import HybridIndex

    return HybridIndex(FilteredIndex(index, where), FilteredIndex(dense, where))


def _parse_where(pairs: Sequence[str]) -> Where:
    """FIELD=VALUE; a field that comes twice may have either value."""
    wanted: dict[str, list[str]] = {}
    for pair in pairs:
        field, equals, value = pair.partition("=")
        if not equals:
            raise OperatorError("no filter", where="--where", value=pair, remedy="write FIELD=VALUE")
        wanted.setdefault(field, []).append(value)
    return wanted


def _tell(folder: Path, made: Manifest, file: SampleSource, *, dense: bool) -> Printed:
    from errata.tools.records import to_jsonl

    (folder / "skipped.jsonl").unlink(missing_ok=True)
    if file.reasons:
        (folder / "skipped.jsonl").write_text(to_jsonl(file.reasons), encoding="utf-8")
    total = sum(part.samples for part in made.parts)
    result = {
        "samples": file.samples,
        "without_skill": file.empty,
        "skipped_rows": file.skipped,
        "left_out": file.left_out,
        "total": total,
        "segments": len(made.parts),
        "dense": dense,
    }
    lines = [f"{file.samples} samples indexed, {file.empty} of them without a skill; {total} in all"]
    if file.skipped:
        first = file.reasons[0]
        lines.append(f"{file.skipped} rows are no samples; row {first.row}: {first.reason}; see {folder}/skipped.jsonl")
    return result, lines if dense else [*lines, OFF]
