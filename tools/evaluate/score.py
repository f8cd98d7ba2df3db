"""Score answers, and sum them up (P1 3.2; free-form scorings of VQA, ST-VQA and ChartQA).

A problem's `scoring` decides. For free-form questions the gold answers are `metadata["answers"]` where the
dataset has several, else the target.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from errata.tools.errors import OperatorError
from errata.tools.evaluate.answers import Mode, parse_answer, parse_free_answer
from errata.tools.evaluate.compare import attempts_by_problem, paired_interval, skill_of, wilson
from errata.tools.records import Attempt, Interval, Problem, Scorecard, SkillScore, Split, digest
from errata.tools.steps import split_steps

CORRECT_FROM = 0.5
"""Least score that counts as correct; only the soft scorings give scores between 0 and 1."""
RELATIVE_TOLERANCE = 0.05
_ARTICLES = frozenset(["a", "an", "the"])
_NUMBER_WORDS = "zero one two three four five six seven eight nine ten"
_NUMBERS = {word: str(value) for value, word in enumerate(_NUMBER_WORDS.split())} | {"none": "0"}
_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?")


def score_answer(answer: str | None, problem: Problem) -> float:
    """0 to 1 by the problem's scoring; no answer scores 0."""
    if answer is None:
        return 0.0
    if problem.scoring == "choice":
        return float(answer == problem.target)
    golds = _golds(problem)
    if problem.scoring == "vqa_soft":
        return vqa_soft(answer, golds=golds)
    single = {"exact": exact_match, "relaxed_number": relaxed_number, "anls": anls}[problem.scoring]
    return max(single(answer, gold=gold) for gold in golds)


def exact_match(answer: str, *, gold: str) -> float:
    """1.0 when both read the same once normalised."""
    return float(normalise(answer) == normalise(gold))


def relaxed_number(answer: str, *, gold: str) -> float:
    """1.0 when two numbers differ by at most 5 % of gold (ChartQA); texts are matched exactly.

    Thousands separators and currency signs are ignored; percent signs count only when both or neither have
    one, so that
    "45" and "45%" agree.
    """
    left, right = _number(answer), _number(gold)
    if left is None or right is None:
        return exact_match(answer, gold=gold)
    return float(abs(left - right) <= RELATIVE_TOLERANCE * abs(right) + 1e-12)


def vqa_soft(answer: str, *, golds: Sequence[str]) -> float:
    """VQA accuracy: the mean, over leaving each annotator out, of min(1, agreeing others / 3).

    With fewer than four gold answers there is no crowd to agree with, and any match scores 1.
    """
    matches = [normalise(answer) == normalise(gold) for gold in golds]
    if len(golds) < 4:
        return float(any(matches))
    return sum(min(1.0, (sum(matches) - match) / 3) for match in matches) / len(golds)


def anls(answer: str, *, gold: str) -> float:
    """1 - normalised Levenshtein distance, 0 from a distance of one half on (ST-VQA); case and spacing are
    ignored."""
    left, right = (" ".join(text.lower().split()) for text in (answer, gold))
    longest = max(len(left), len(right))
    distance = _levenshtein(left, right) / longest if longest else 0.0
    return 1.0 - distance if distance < 0.5 else 0.0


def normalise(text: str) -> str:
    """Lower case, without articles, apostrophes and punctuation (decimal points and signs stay); digits for
    number words."""
    text = re.sub(r"['’`]", "", text.lower())
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
    text = re.sub(r"(?<!\d)\.|\.(?!\d)|(?<=\w)-|-(?!\d)|[^\w\s.\-%]|_", " ", text)
    words = [_NUMBERS.get(word, word) for word in text.split() if word not in _ARTICLES]
    return " ".join(words)


def make_attempt(problem: Problem, response: str, *, checkpoint: str, mode: Mode = "ordered") -> Attempt:
    """Parse, split and score one response; the answer sentence and all after it are no steps."""
    if problem.choices:
        parsed = parse_answer(response, letters=problem.letters, choices=problem.choices, mode=mode)
    else:
        parsed = parse_free_answer(response)
    rationale = parsed.rationale(response)
    score = score_answer(parsed.answer, problem)
    return Attempt(
        id=digest("attempt", checkpoint, problem.id),
        problem=problem.id,
        checkpoint=checkpoint,
        response=response,
        steps=tuple(step.text for step in split_steps(rationale)) if rationale.strip() else (),
        answer=parsed.answer,
        correct=score >= CORRECT_FROM,
        score=score,
        format_error=parsed.answer is None,
    )


def make_attempts(
    problems: Sequence[Problem], responses: Sequence[str], *, checkpoint: str, mode: Mode = "ordered"
) -> list[Attempt]:
    """One attempt per problem, in order; as many responses as problems."""
    pairs = zip(problems, responses, strict=True)
    return [make_attempt(problem, response, checkpoint=checkpoint, mode=mode) for problem, response in pairs]


def make_scorecard(
    problems: Sequence[Problem], attempts: Sequence[Attempt], *, checkpoint: str, split: Split, seed: int
) -> Scorecard:
    """Accuracy over the problems, with its 95 % interval, and by skill in order of name.

    The interval is Wilson's; where a soft scoring gave scores between 0 and 1, accuracy is their mean and the
    interval is a bootstrap drawn from `seed`. Raises OperatorError without problems, or when one has no
    attempt.
    """
    if not problems:
        raise OperatorError("no problems to score", where=split, remedy="give a split with problems")
    found = attempts_by_problem(attempts, problems=problems)
    tally: dict[str, list[bool]] = {}
    for problem, attempt in zip(problems, found, strict=True):
        tally.setdefault(skill_of(problem), []).append(attempt.correct)
    return Scorecard(
        id=digest("scorecard", checkpoint, split, [problem.id for problem in problems]),
        checkpoint=checkpoint,
        split=split,
        accuracy=_accuracy(found, seed=seed),
        correct=sum(attempt.correct for attempt in found),
        total=len(found),
        format_errors=sum(attempt.format_error for attempt in found),
        by_skill=tuple(SkillScore(skill=s, correct=sum(c), total=len(c)) for s, c in sorted(tally.items())),
    )


def _accuracy(attempts: Sequence[Attempt], *, seed: int) -> Interval:
    if all(attempt.score in (0.0, 1.0) for attempt in attempts):
        return wilson(sum(attempt.correct for attempt in attempts), len(attempts))
    return paired_interval([attempt.score for attempt in attempts], seed=seed)


def _golds(problem: Problem) -> list[str]:
    answers = problem.metadata.get("answers")
    if isinstance(answers, list | tuple) and answers:
        return [str(answer) for answer in answers]
    return [problem.target]


def _number(text: str) -> float | None:
    """The number that a text consists of, signs of currency and percent aside; None when it is none."""
    bare = re.sub(r"[\s$€£%]", "", text.strip().lower().rstrip("."))
    bare = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", bare)
    bare = _NUMBERS.get(bare, bare)
    return float(bare) if _NUMBER.fullmatch(bare) else None


def _levenshtein(left: str, right: str) -> int:
    """Insertions, deletions and substitutions from one text to the other."""
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, start=1):
        following = [i]
        for j, b in enumerate(right, start=1):
            following.append(min(row[j] + 1, following[-1] + 1, row[j - 1] + (a != b)))
        row = following
    return row[-1]
