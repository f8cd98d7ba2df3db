import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from errata.tools.steps import sentence_starts, split_steps

ALPHABET = "aAbZ1 9\n\r\t.?!\"'()-*é中_:,"
WORDS = st.sampled_from(
    ["No.", "e.g.", "Mr.", "The", "cat", "3.5", "1.", "B.", "\n", "U.S.", "?", "So", "-", " "],
)


def texts(rationale: str) -> list[str]:
    return [step.text.strip() for step in split_steps(rationale)]


@given(st.text(alphabet=ALPHABET, max_size=200) | st.text(max_size=60) | st.lists(WORDS).map(" ".join))
@example("")
@example("   \n ")
@example("1.\n2.\n")
def test_the_steps_touch_and_give_the_text_back(rationale: str) -> None:
    steps = split_steps(rationale)
    assert "".join(step.text for step in steps) == rationale
    assert (
        [step.start for step in steps] == [0, *(step.end for step in steps)][:-1] if steps else not rationale
    )
    assert all(step.text == rationale[step.start : step.end] != "" for step in steps)


@given(st.lists(WORDS, min_size=1).map(" ".join))
def test_no_step_is_a_fragment_unless_it_is_all_there_is(rationale: str) -> None:
    steps = split_steps(rationale)
    sizes = [sum(char.isalnum() for char in step.text) for step in steps]
    markers = [step.text.strip(" \n.-:?") for step in steps]
    assert len(steps) == 1 or all(n >= 3 or len(m) <= 1 for n, m in zip(sizes, markers, strict=True))


@pytest.mark.parametrize(
    ("rationale", "expected"),
    [
        ("The cell is red. The cell is blue.", ["The cell is red.", "The cell is blue."]),
        ("It is red! Is it? Maybe so.", ["It is red!", "Is it?", "Maybe so."]),
        ("First line\nsecond line", ["First line", "second line"]),
        ("First line\r\n\r\nsecond line", ["First line", "second line"]),
        ("It weighs 3.5 kg. So it is light.", ["It weighs 3.5 kg.", "So it is light."]),
        ("There are 4 cats. 3 of them sleep.", ["There are 4 cats.", "3 of them sleep."]),
        ("the cat sat. then it left.", ["the cat sat. then it left."]),
        ("Mr. Smith met Dr. Jones.", ["Mr. Smith met Dr. Jones."]),
        ("Fruit, e.g. Apples, are sweet.", ["Fruit, e.g. Apples, are sweet."]),
        ("We live in the U.S. The capital is far.", ["We live in the U.S.", "The capital is far."]),
        ("We like the U.S. Army band.", ["We like the U.S. Army band."]),
        ("George W. Bush was there.", ["George W. Bush was there."]),
        ("More is in bottle B. The rest is in A.", ["More is in bottle B.", "The rest is in A."]),
        ("It has fur, claws, etc. The cat is one.", ["It has fur, claws, etc.", "The cat is one."]),
        ("See No. 5 for more. See fig. 3 too.", ["See No. 5 for more.", "See fig. 3 too."]),
        ("1. Look at it. 2. Count the dots.", ["1. Look at it.", "2. Count the dots."]),
        ("1.\nLook at it.\n2.\nCount the dots.", ["1.\nLook at it.", "2.\nCount the dots."]),
        ("Step 1. Look at the dots. Step 2. Count.", ["Step 1. Look at the dots.", "Step 2. Count."]),
        ("The total is 5. So it is odd.", ["The total is 5.", "So it is odd."]),
        ('He said "Stop." Then he left.', ['He said "Stop."', "Then he left."]),
        ("It is (see above). (Also below.)", ["It is (see above).", "(Also below.)"]),
        (
            "Is a job one you pay for? No. So, a violin is a good.",
            ["Is a job one you pay for? No.", "So, a violin is a good."],
        ),
        ("So. The cat is red.", ["So. The cat is red."]),
        ("", []),
    ],
)
def test_sentences(rationale: str, expected: list[str]) -> None:
    assert texts(rationale) == expected


def test_sentence_starts_are_offsets_before_joining() -> None:
    assert sentence_starts("No. It is. ") == [0, 4]
