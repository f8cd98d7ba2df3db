"""Each embedding function gives unit vectors in order, and says in one line what it lacks."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest

from errata.tools.errors import OperatorError
from errata.tools.retrieve.embeddings import EmbeddingOptions, make_embedding


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of a few thousand random weights."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    folder = tmp_path_factory.mktemp("encoder")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "count", "circles", "red", "row"]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    BertModel(config).save_pretrained(folder)
    return folder


def test_an_encoder_pools_the_mean_and_padding_does_not_matter(encoder: Path) -> None:
    embed = make_embedding(EmbeddingOptions(kind="encoder", folder=str(encoder)))
    alone, together = embed(["count"]), embed(["count red circles row", "count"])
    assert together.shape == (2, 16)
    assert np.linalg.norm(together, axis=1) == pytest.approx([1, 1], abs=1e-6)
    assert together[1] == pytest.approx(alone[0], abs=1e-5)
    assert embed([]).shape[0] == 0


def test_a_sentence_transformers_folder_says_how_it_pools(encoder: Path) -> None:
    mean = make_embedding(EmbeddingOptions(kind="encoder", folder=str(encoder)))
    kinds = ["models.Transformer", "models.Pooling", "models.Normalize"]
    (encoder / "modules.json").write_text(json.dumps([{"type": f"sentence_transformers.{k}"} for k in kinds]))
    (encoder / "1_Pooling").mkdir()
    (encoder / "1_Pooling/config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    first = make_embedding(EmbeddingOptions(kind="encoder", folder=str(encoder)))
    assert first.name != mean.name
    assert not np.allclose(first(["count red"]), mean(["count red"]))
    (encoder / "modules.json").write_text(json.dumps([{"type": "sentence_transformers.models.Dense"}]))
    with pytest.raises(OperatorError, match="the encoder has a part that is not known"):
        make_embedding(EmbeddingOptions(kind="encoder", folder=str(encoder)))


def test_what_is_missing_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="the embedding encoder needs the folder"):
        make_embedding(EmbeddingOptions(kind="encoder"))
    with pytest.raises(OperatorError, match="the embedding endpoint needs the model"):
        make_embedding(EmbeddingOptions(kind="endpoint", model="m"))
    with pytest.raises(OperatorError, match=r"no model here: config\.json is missing"):
        make_embedding(EmbeddingOptions(kind="encoder", folder=str(tmp_path)))


class Answer(BaseHTTPRequestHandler):
    """Vectors by the length of the text, out of order, as an endpoint may give them."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        rows = [{"object": "embedding", "index": i, "embedding": [len(t), 1.0]} for i, t in enumerate(asked["input"])]
        if asked["model"] == "short":
            rows = rows[:-1]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        told = {"object": "list", "model": asked["model"], "data": rows[::-1], "usage": usage}
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def endpoint() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_an_endpoint_is_asked_in_batches_and_answers_are_put_in_order(endpoint: str) -> None:
    embed = make_embedding(EmbeddingOptions(kind="endpoint", model="m", base_url=endpoint), key="k")
    texts = ["x" * (1 + i % 7) for i in range(150)]
    vectors = embed(texts)
    assert vectors[:, 0] / vectors[:, 1] == pytest.approx([len(t) for t in texts], rel=1e-4)
    short = make_embedding(EmbeddingOptions(kind="endpoint", model="short", base_url=endpoint))
    with pytest.raises(OperatorError, match="2 vectors came for 3 texts"):
        short(["a", "b", "c"])
