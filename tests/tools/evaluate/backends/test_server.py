import json
from pathlib import Path

import pytest

from errata.tools.errors import OperatorError
from errata.tools.evaluate.backends.options import ParityOptions, ServerOptions
from errata.tools.evaluate.backends.parity import certify_server
from errata.tools.evaluate.backends.server_client import digest_weights, is_plain_lora, served_name
from errata.tools.evaluate.student import GenerateOptions, content_keys, evaluate_student
from errata.tools.train.recipe import Recipe
from errata.tools.train.run import train_student
from tests.tiny_student import TEMPLATE, build_problems, shared_host, source, teach
from tests.tools.evaluate.backends.student_server import Quirks, StudentServer

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
SHORT = 12
"""Tokens of an answer."""
OTHER = TEMPLATE.replace("%}Assistant {% endif", "%}Assistant look {% endif")
"""A chat template with a word too many."""


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    """A trained checkpoint of the tiny student."""
    folder = tmp_path_factory.mktemp("trained") / "c1"
    recipe = Recipe(learning_rate=1e-2, batch_size=8, epochs=8, lora_rank=16, lora_alpha=32, replay=0.0, device="cpu")
    train_student(
        teach(build_problems(folder.parent / "pictures", 16, seed=3)), base=source(), recipe=recipe, folder=folder,
        checkpoint_id="c1", host=shared_host(),
    )  # fmt: skip
    return source(adapter=str(folder), checkpoint="c1")


@pytest.fixture
def problems(tmp_path):
    return build_problems(tmp_path / "pictures", 6, seed=4)


def options(server, **changes) -> GenerateOptions:
    fields = {"base_url": server.url, "model": "student", "attempts": 2, "concurrency": 3} | changes
    return GenerateOptions(
        backend="server", server=ServerOptions(**fields), device="cpu", max_new_tokens=SHORT,
        parity=ParityOptions(questions=6, first_token=1e-3),
    )  # fmt: skip


def responses(attempts) -> list[tuple[str, str]]:
    return [(attempt.problem, attempt.response) for attempt in attempts]


def test_a_server_answers_a_checkpoint_as_transformers_does_behind_a_certificate(adapter, problems, tmp_path):
    how = {"model": adapter, "host": shared_host()}
    usual = evaluate_student(problems, options=GenerateOptions(device="cpu", max_new_tokens=SHORT), **how)
    certificate = tmp_path / "parity.json"
    with StudentServer(adapter.base, quirks=Quirks(busy=1)) as server:
        served = evaluate_student(problems, options=options(server), certificate=certificate, **how)
        assert list(server.students) == ["student"]  # what was loaded was taken out again
    assert responses(served) == responses(usual)
    parity = json.loads(certificate.read_text())
    assert (parity["backend"], parity["form"], parity["faults"]) == ("server", "served", [])
    assert (parity["prompts_equal"], parity["agreement"], parity["changed"] > 0) == (6, 1.0, True)
    assert parity["first_token"] < 1e-4
    loaded = server.bodies("load_lora_adapter")
    assert [body["lora_path"] for body in loaded] == [adapter.adapter] * 2
    name = loaded[0]["lora_name"]
    asked = server.bodies("chat/completions")
    assert [sum(body["model"] == one for body in asked) for one in ("student", name)] == [7, 12]  # one was sent again
    assert {body["temperature"] for body in asked} == {0.0}
    assert asked[-1]["repetition_penalty"] == 1.0
    assert all([part["type"] for part in body["messages"][0]["content"]] == ["text", "image_url"] for body in asked)


@pytest.mark.parametrize(
    ("quirks", "says"),
    [
        (Quirks(), ""),
        (Quirks(token_ids=False), ""),
        (Quirks(ignores_adapters=True), "the adapter is ignored"),
        (Quirks(ignores_adapters=True, token_ids=False), "the adapter is ignored"),
        (Quirks(template=OTHER), "6 of 6 prompts are other tokens"),
        (Quirks(template=OTHER, token_ids=False), "6 of 6 prompts are other tokens"),
        (Quirks(grey=True), r"a first token's probability differs by 0.0"),
    ],
)
def test_the_certificate_of_a_server_says_what_differs(adapter, problems, quirks, says):
    with StudentServer(adapter.base, quirks=quirks) as server:
        parity = certify_server(problems, model=adapter, options=options(server))
    assert parity.passed == (not says)
    assert says in "; ".join(parity.faults)
    assert (parity.template, parity.pixels, parity.questions) == ("", "", 6)


@pytest.mark.parametrize(
    ("quirks", "says"),
    [
        (Quirks(loads=False), r"does not load the adapter: status 404.*ALLOW_RUNTIME_LORA.*--max-lora-rank 16"),
        (Quirks(logprobs=False), "gives no log-probabilities"),
        (Quirks(token_ids=False, usage=False), r"how long a prompt was \(usage.prompt_tokens\)"),
        (Quirks(reasoning=True), "takes the thoughts out of the answer.*without a reasoning parser"),
        (Quirks(busy=9), r"status 503: .*overloaded"),
    ],
)
def test_a_server_that_cannot_serve_the_student_is_one_line(adapter, problems, quirks, says):
    with StudentServer(adapter.base, quirks=quirks) as server, pytest.raises(OperatorError, match=says):
        certify_server(problems, model=adapter, options=options(server))


def test_names_and_keys_that_are_wrong_are_one_line(adapter, problems):
    def ask(student, **changes):
        with StudentServer(adapter.base) as server:
            evaluate_student(problems, model=student, options=options(server, **changes), host=shared_host())

    with pytest.raises(OperatorError, match=r"no such model.*other.*it lists: student"):
        ask(source(), model="other")
    with pytest.raises(OperatorError, match=r"does not serve this checkpoint.*serve its adapter from .*c1 under"):
        ask(adapter, load_adapters=False)
    with pytest.raises(OperatorError, match=r"server.key_env.*not set.*ERRATA_NO_SUCH_KEY"):
        ask(source(), key_env="ERRATA_NO_SUCH_KEY")
    with pytest.raises(OperatorError, match=r"the connection failed.*see that .*base_url is right"):
        ask(source(), base_url="http://127.0.0.1:9/v1", attempts=1)


def test_the_key_is_sent_and_written_nowhere(problems, monkeypatch, tmp_path):
    from errata.tools.evaluate.backends.server_answers import answer_by_server
    from errata.tools.evaluate.student import EvaluateJob

    monkeypatch.setenv("ERRATA_STUDENT_KEY", "sk-very-secret")
    with StudentServer(source().base) as server:
        job = EvaluateJob(
            model=source(), options=options(server, key_env="ERRATA_STUDENT_KEY"), batches=(tuple(problems),)
        )
        answer_by_server(job, tmp_path, lambda _: None)
    assert {key for _, _, key in server.log} == {"sk-very-secret"}
    assert "sk-very-secret" not in job.model_dump_json() + (tmp_path / "answers.jsonl").read_text()


def test_a_checkpoint_is_served_under_a_name_of_its_weights(tmp_path):
    def write(name: str, config: dict, weights: bytes) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "adapter_config.json").write_text(json.dumps(config))
        (folder / "adapter_model.safetensors").write_bytes(weights)
        return folder

    one, same, other = (write(n, {"r": 4}, w) for n, w in (("1", b"a"), ("2", b"a"), ("3", b"b")))
    (same / "parity.json").write_text("{}")  # written after the name was first used
    names = [served_name(source(adapter=str(folder), checkpoint="c1"), model="s") for folder in (one, same, other)]
    assert names[0] == names[1] != names[2]
    assert names[0].startswith("s-c1-")
    assert served_name(source(), model="s") == "s"
    stages = tmp_path / "stages"
    stages.mkdir()
    (stages / "stages.json").write_text('["../1", "."]')
    before = digest_weights(stages)
    (one / "adapter_model.safetensors").write_bytes(b"c")
    assert digest_weights(stages) != before
    dora = write("dora", {"r": 4, "use_dora": True}, b"a")
    assert [is_plain_lora(str(folder)) for folder in (one, dora, stages)] == [True, False, False]


def test_settings_of_a_server_are_whole_and_enter_the_keys(problems):
    with pytest.raises(ValueError, match=r"server.base_url and server.model; give both"):
        GenerateOptions(backend="server", server=ServerOptions(model="m"))

    def keys(name: str) -> set[str]:
        server = ServerOptions(base_url="http://h/v1", model=name)
        return set(content_keys(problems, model=source(), options=GenerateOptions(backend="server", server=server)))

    assert keys("a").isdisjoint(keys("b"))
    assert keys("a").isdisjoint(content_keys(problems, model=source(), options=GenerateOptions()))
