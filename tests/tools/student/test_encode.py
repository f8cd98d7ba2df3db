import pytest
import torch
from PIL import Image

from errata.tools.errors import OperatorError
from errata.tools.records import ImageRef
from errata.tools.student.checks import check_pictures
from errata.tools.student.collate import collate
from errata.tools.student.encode import IGNORED, encode_prompts, encode_sample, student_answer
from errata.tools.student.load import open_student
from errata.tools.train.training import count_tokens
from tests.tiny_student import build_problems, shared_folder

HOW = {"prompt": "student_brief", "image_first": False}


@pytest.fixture(scope="module")
def student():
    torch.set_num_threads(1)
    return open_student(str(shared_folder() / "base"), adapter=None, device="cpu")


@pytest.fixture(scope="module")
def problems():
    return build_problems(shared_folder() / "collate", 6, seed=3)


def test_labels_are_the_answer_and_its_end_token_only(student, problems):
    sample = encode_sample(problems[0], student=student, **HOW)
    kept = sample.labels[sample.labels != IGNORED]
    assert student.tokenizer.decode(kept).split()[:3] == ["So", "it", "is"]
    assert kept[-1].item() in student.end_ids
    assert student_answer(problems[0]) == f"{problems[0].rationale} The answer is {problems[0].target}."
    assert not (sample.labels == student.model.config.image_token_id).any()


def test_free_form_answers_are_words(problems):
    free = problems[0].model_copy(update={"choices": (), "target": "red", "rationale": ""})
    assert student_answer(free) == "The answer is red."


def test_picture_goes_where_it_is_asked_to(student, problems):
    image = student.model.config.image_token_id

    def where(first: bool) -> float:
        ids = encode_sample(problems[0], student=student, prompt="student_brief", image_first=first).ids
        return (ids == image).nonzero().float().mean().item() / len(ids)

    assert where(True) < where(False)


def test_padding_goes_left_for_asking_and_right_for_training(student, problems):
    asked = encode_prompts(problems, student=student, **HOW)
    assert asked["attention_mask"][:, -1].all()
    taught = collate([encode_sample(p, student=student, **HOW) for p in problems], student=student)
    assert taught["pixel_values"].shape == (6, 1, 3, 64, 64)
    assert "attention_mask" not in taught
    for row, problem in enumerate(problems):
        length = len(encode_sample(problem, student=student, **HOW).ids)
        assert (taught["labels"][row, length:] == IGNORED).all()
        assert (taught["input_ids"][row, length:] == student.tokenizer.pad_token_id).all()


def test_right_padding_changes_no_answer_logit(student, problems):
    samples = [encode_sample(p, student=student, **HOW) for p in problems]
    batch = collate(samples, student=student)
    labels = batch.pop("labels")
    together = student.model(**batch).logits[0][labels[0] != IGNORED]
    alone = collate(samples[:1], student=student)
    kept = alone.pop("labels")[0] != IGNORED
    assert torch.allclose(student.model(**alone).logits[0][kept], together, atol=1e-5)


def test_checks_pass_on_a_sound_student_and_name_the_row_otherwise(student, problems):
    samples = [encode_sample(p, student=student, **HOW) for p in problems]
    check_pictures(samples, student=student)
    short = samples[1]._replace(ids=samples[1].ids[samples[1].ids != student.model.config.image_token_id])
    with pytest.raises(OperatorError, match=r"p0001.*0 image tokens but 16 image features"):
        check_pictures([samples[0], short], student=student)
    blank = samples[2]._replace(extras=samples[2].extras | {"pixel_values": torch.zeros(1, 1, 3, 64, 64)})
    with pytest.raises(OperatorError, match=r"p0002.*all zeros"):
        check_pictures([samples[0], blank], student=student)


def test_a_picture_that_does_not_reach_the_model_is_noticed(problems):
    deaf = open_student(str(shared_folder() / "base"), adapter=None, device="cpu")
    torch.nn.init.zeros_(deaf.model.model.connector.modality_projection.proj.weight)
    with pytest.raises(OperatorError, match="does not change what the model says"):
        check_pictures([encode_sample(problems[0], student=deaf, **HOW)], student=deaf)


def test_unreadable_pictures_and_unknown_prompts_are_one_line(student, problems, tmp_path):
    broken = tmp_path / "broken.png"
    Image.new("RGB", (64, 64)).save(broken)
    broken.write_bytes(broken.read_bytes()[:40])
    for path in (broken, tmp_path / "absent.png"):
        problem = problems[0].model_copy(update={"images": (ImageRef(path=str(path), sha256=""),)})
        with pytest.raises(OperatorError, match=r"problem p0000: unreadable picture.*png"):
            encode_sample(problem, student=student, **HOW)
    with pytest.raises(OperatorError, match="student_brief"):
        encode_sample(problems[0], student=student, prompt="absent", image_first=False)


def test_the_share_of_unknown_words_is_counted(student, problems):
    foreign = problems[0].model_copy(update={"rationale": "zxq zxq", "target": "red", "choices": ()})
    sample = encode_sample(foreign, student=student, **HOW)
    tokens = ["zxq", "zxq", "The", "answer", "is", "red", ".", "<end_of_utterance>"]
    assert count_tokens([sample], token=student.tokenizer.unk_token_id) == 2
    assert (sample.labels != IGNORED).sum() == len(tokens)
