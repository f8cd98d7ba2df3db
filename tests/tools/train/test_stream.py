import json

import numpy as np
import pytest
import torch
from PIL import Image

from errata.tools.errors import OperatorError
from errata.tools.records import ImageRef
from errata.tools.student.encode import encode_sample
from errata.tools.student.features import FEATURES, add_features
from errata.tools.student.load import open_student
from errata.tools.train.feature_store import INDEX, FeatureStore, enough_space
from errata.tools.train.recipe import Recipe
from errata.tools.train.samples import SampleFile, read_trained, write_samples
from errata.tools.train.stream import KEPT_BYTES, SampleStream, stream_steps
from tests.families import build_family
from tests.tiny_student import build_problems, shared_folder, source

RECIPE = Recipe(device="cpu")
HOW = {"prompt": source().prompt, "image_first": source().image_first}


@pytest.fixture(scope="module")
def student():
    torch.set_num_threads(1)
    return open_student(source().base, adapter=None, device="cpu")


@pytest.fixture(scope="module")
def problems():
    return build_problems(shared_folder() / "stream", 12, seed=11)


def make_stream(folder, problems, student, *, base=None):
    folder.mkdir(exist_ok=True)
    return SampleStream(SampleFile(write_samples(folder, problems)), student=student, source=base or source())


def test_samples_are_read_by_number_and_a_broken_line_is_named(tmp_path, problems):
    file = SampleFile(write_samples(tmp_path, problems))
    assert (len(file), file[7], file[0]) == (12, problems[7], problems[0])
    assert read_trained(tmp_path) == problems
    assert read_trained(tmp_path / "absent") is None
    path = tmp_path / "samples.jsonl"
    path.write_text(path.read_text().replace('"id":"p0007"', '"id":7'))
    with pytest.raises(OperatorError, match=r"samples.jsonl:8: not a problem"):
        SampleFile(path)[7]
    with pytest.raises(OperatorError, match="cannot read"):
        SampleFile(tmp_path / "absent.jsonl")


def test_lengths_without_opening_pictures_are_the_lengths_of_the_encoded_samples(tmp_path):
    """A family whose pictures have as many tokens as their shape asks for, and more bytes than are kept."""
    base = build_family("llava_next", tmp_path / "base")
    student = open_student(str(base), adapter=None, device="cpu")
    source_of = source(base=str(base))
    shapes = [(60, 200), (200, 60), (90, 90), (64, 128)]
    problems = []
    for i, problem in enumerate(build_problems(tmp_path / "pictures", 460, seed=2)):
        width, height = shapes[i % 4]
        path = tmp_path / f"{i}.png"
        Image.fromarray(np.full((height, width, 3), 40 + i % 200, np.uint8)).save(path)
        problems.append(problem.model_copy(update={"images": (ImageRef(path=str(path), sha256=str(i)),)}))
    stream = make_stream(tmp_path / "c", problems, student, base=source_of)
    measured = stream.measure(RECIPE)
    size = stream.encode(0).extras["pixel_values"].nbytes
    assert 460 * size > 1.5 * KEPT_BYTES  # most were measured without their pictures
    for number in (0, 150, 401, 458, 459):
        sample = encode_sample(problems[number], student=student, **HOW)
        assert measured.tokens[number] == len(sample.ids)
        assert measured.answers[number] == (sample.labels[1:] != -100).sum()
    assert len(set(measured.tokens.tolist())) > 4


def test_long_samples_are_skipped_and_counted_or_stop_the_training(tmp_path, student, problems):
    stream = make_stream(tmp_path / "c", problems, student)
    lengths = sorted(stream.measure(RECIPE).tokens.tolist())
    some = RECIPE.model_copy(update={"max_tokens": lengths[5], "too_long": "skip"})
    measured = stream.measure(some)
    assert measured.skipped == sum(length > lengths[5] for length in lengths) > 0
    assert len(measured.numbers) == 12 - measured.skipped
    assert max(measured.tokens) == lengths[5]
    with pytest.raises(OperatorError, match=r"problem p\d+: longer than 8 tokens"):
        stream.measure(RECIPE.model_copy(update={"max_tokens": 8}))
    with pytest.raises(OperatorError, match="every sample is too long"):
        stream.measure(RECIPE.model_copy(update={"max_tokens": 8, "too_long": "skip"}))


@pytest.mark.parametrize("workers", [0, 2])
def test_steps_come_in_order_whatever_the_number_of_workers(tmp_path, student, problems, workers):
    stream = make_stream(tmp_path / "c", problems, student)
    steps = [[3, 1], [2], [0, 5, 4]]
    before = torch.get_rng_state()
    got = list(stream_steps(stream, steps, workers=workers))
    assert [[sample.problem for sample in samples] for samples in got] == [[f"p{i:04}" for i in step] for step in steps]
    assert torch.equal(torch.get_rng_state(), before)  # dropout's random numbers are not touched


@pytest.mark.parametrize("workers", [0, 1])
def test_a_picture_that_breaks_later_stops_with_its_row_when_its_step_comes(tmp_path, student, problems, workers):
    lost = problems[2].model_copy(update={"images": (ImageRef(path=str(tmp_path / "no.png"), sha256=""),)})
    stream = make_stream(tmp_path / "c", [problems[0], problems[1], lost], student)
    steps = stream_steps(stream, [[0], [1], [2]], workers=workers)
    assert [next(steps)[0].problem, next(steps)[0].problem] == ["p0000", "p0001"]
    with pytest.raises(OperatorError, match=r"^problem p0002: unreadable picture"):
        next(steps)


def test_features_are_kept_once_and_read_back_as_they_were(tmp_path, student, problems):
    blind = problems[3].model_copy(update={"images": (), "id": "blind"})
    stream = make_stream(tmp_path / "c", [*problems[:3], blind], student)
    wanted = add_features([stream.encode(i) for i in range(4)], student=student)
    store = FeatureStore(tmp_path / "features", source=source())
    assert stream.read_from(store, range(4)) == 4
    for number, sample in enumerate(wanted):
        got = stream.encode(number)
        assert (got.problem, got.extras.keys()) == (sample.problem, sample.extras.keys())
        assert torch.equal(got.ids, sample.ids)
        assert torch.equal(got.labels, sample.labels)
    assert torch.equal(stream.encode(1).extras[FEATURES], wanted[1].extras[FEATURES])
    assert FEATURES not in stream.encode(3).extras
    again = make_stream(tmp_path / "d", problems[:5], student)
    assert again.read_from(FeatureStore(tmp_path / "features", source=source()), range(5)) == 2


def test_what_a_kill_cut_off_and_what_another_prompt_made_is_made_anew(tmp_path, student, problems):
    stream = make_stream(tmp_path / "c", problems[:2], student)
    stream.read_from(FeatureStore(tmp_path / "features", source=source()), range(2))
    index = tmp_path / "features" / INDEX
    index.write_text(index.read_text()[:-20])
    store = FeatureStore(tmp_path / "features", source=source())
    assert [store.key_of(problem) in store for problem in problems[:2]] == [True, False]
    other = FeatureStore(tmp_path / "features", source=source(image_first=True))
    assert other.key_of(problems[0]) not in other
    assert len(json.loads(index.read_text().splitlines()[0])) == 3


def test_space_is_looked_at_where_the_folder_will_be(tmp_path):
    assert enough_space(tmp_path / "a" / "b", 1, share=1.0)
    assert not enough_space(tmp_path / "a" / "b", 10**18, share=1.0)
