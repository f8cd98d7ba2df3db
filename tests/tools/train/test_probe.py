import json
import time

import pytest
import torch

from errata.agent.cli.doctor.student import check_fit
from errata.agent.cli.main import main
from errata.tools.student.encode import encode_sample
from errata.tools.student.load import open_student
from errata.tools.train.attach import attach
from errata.tools.train.probe import StudentProbe, count_work, find_faults, find_slow_layers, make_problems
from errata.tools.train.recipe import Recipe
from tests.tiny_student import shared_folder

BASE = str(shared_folder() / "base")
HOW = {"prompt": "student_brief", "image_first": True}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return tmp_path_factory.mktemp("probe")


def test_the_doctor_says_what_a_student_is_and_that_its_parts_fit(capsys):
    assert main(["doctor", "--student", BASE, "--prompt", "student_brief", "--json"]) == 0
    said = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    parameters = sum(w.numel() for w in open_student(BASE, adapter=None, device="cpu").model.parameters())
    assert said["family"]["found"] == "Idefics3"
    assert f"{parameters:,} parameters, float32" in said["size"]["found"]
    assert said["parts"]["ok"] is True
    assert "tokens: forward" in said["one sample"]["found"]


def test_a_student_that_does_not_see_and_a_folder_without_one_are_said(tmp_path, capsys):
    student = open_student(BASE, adapter=None, device="cpu")
    torch.nn.init.zeros_(student.model.model.connector.modality_projection.proj.weight)
    student.model.save_pretrained(tmp_path / "blind")
    student.processor.save_pretrained(tmp_path / "blind")
    assert main(["doctor", "--student", str(tmp_path / "blind"), "--prompt", "student_brief"]) == 1
    assert "FAIL parts: problem sample-0: the picture does not change" in capsys.readouterr().out
    assert main(["doctor", "--student", str(tmp_path / "absent")]) == 2
    assert "--student: no such folder" in capsys.readouterr().err


def test_faults_are_found_one_by_one(pictures):
    student = open_student(BASE, adapter=None, device="cpu")
    problems = make_problems(pictures)
    samples = [encode_sample(problem, student=student, **HOW) for problem in problems]
    assert find_faults(student, samples, problems, how=HOW) == []
    cut = [samples[0]._replace(ids=samples[0].ids[:-2], labels=samples[0].labels[:-2]), samples[1]]
    assert any("labels are not the answer" in fault for fault in find_faults(student, cut, problems, how=HOW))


def test_a_layer_that_takes_longer_than_its_work_is_named(pictures):
    student = open_student(BASE, adapter=None, device="cpu")
    sample = encode_sample(make_problems(pictures)[0], student=student, **HOW)
    assert count_work(student, sample) > 0
    attached = attach(student, Recipe(lora_rank=2, lora_alpha=4, device="cpu"))
    layer = attached.inner.model.vision_model.embeddings.patch_embedding
    usual = layer.forward

    def slow(pixels: torch.Tensor) -> torch.Tensor:
        time.sleep(0.5)
        return usual(pixels)

    layer.forward = slow
    found = find_slow_layers(attached, student, sample)
    assert found[0].name.endswith("patch_embedding")
    assert (found[0].kind, found[0].time_share > 0.5) == ("Conv2d", True)


@pytest.mark.parametrize(("sample", "ok", "says"), [(8.0, False, "does not fit"), (2.0, True, "about 3 fit a pass")])
def test_what_will_not_fit_a_gpu_is_said(sample, ok, says):
    probe = StudentProbe(
        family="x", note="", parameters=1, trained=10, dtype="bfloat16", device="GPU", tokens=700, faults=(),
        forward_s=1.0, backward_s=1.0, share=0.4, slow=(), held_gib=14.0, sample_gib=sample, free_gib=10.0,
    )  # fmt: skip
    check = check_fit(probe, Recipe())
    assert (check.ok, says in check.found) == (ok, True)
