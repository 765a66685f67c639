"""The exercises: in step with the notebooks, right answers pass, wrong ones are told why, unanswered ones never fail."""

import json
import re
import runpy
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import wrong_answers

from p3mlib.exercises import check, exercises, hint, progress, session
from p3mlib.exercises.exercise import KINDS

ROOT = Path(__file__).parent.parent
BOOKS = {path.stem[:2]: path for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))}
ALL = {number: exercise for book in BOOKS for number, exercise in exercises(book).items()}
TASK = re.compile(r"\*\*Exercise (\d\d\.\d) · (\w+)\.\*\* \S")
CHECK = re.compile(r'^check\("(\d\d\.\d)", \.\.\.(, .*)?\)$', re.MULTILINE)


@pytest.fixture(autouse=True)
def _anew():
    session.forget()
    yield
    session.forget()


def cells(book):
    """(kind of cell, source) of a notebook."""
    return [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(BOOKS[book].read_text())["cells"]]


def letters(exercise):
    return getattr(exercise.judge, "letters", None)


def given(exercise):
    """Data of some kind for every name that an exercise is given."""
    return dict.fromkeys(exercise.given, np.zeros((4, 4)))


def test_there_are_forty_exercises_of_four_kinds_in_thirteen_notebooks():
    assert len(ALL) >= 40 and len(BOOKS) == 13
    counts = Counter(exercise.kind for exercise in ALL.values())
    assert set(counts) == set(KINDS) and min(counts.values()) >= 10
    for book in BOOKS:
        own = exercises(book)
        assert 3 <= len(own) <= 4 and list(own) == [f"{book}.{k}" for k in range(1, len(own) + 1)]
        assert len({exercise.kind for exercise in own.values()}) >= 3, book


@pytest.mark.parametrize("book", BOOKS)
def test_tasks_and_checks_stand_in_the_notebook_and_nothing_else_does(book):
    found = cells(book)
    tasks = [(k, *TASK.search(source).groups()) for k, (kind, source) in enumerate(found) if TASK.search(source)]
    assert [(number, kind) for _, number, kind in tasks] == [(e.number, e.kind) for e in exercises(book).values()], "in order"
    for place, number, _ in tasks:
        exercise, (kind, source) = ALL[number], found[place + 1]
        (checked,) = CHECK.finditer(source)
        assert kind == "code" and checked.group(1) == number, "the code cell after a task checks it, unanswered"
        assert tuple(re.findall(r", (\w+)=", checked.group(2) or "")) == exercise.given
        assert source.endswith(checked.group(0)), "a cell shows its last line"
        assert re.findall(r"^- \*\*(\w)\*\* ", found[place][1], re.MULTILINE) == (letters(exercise) or [])
    assert sum(source.count("check(") for kind, source in found if kind == "code") == len(tasks)
    takeaway = next(k for k, (_, source) in enumerate(found) if "**Takeaway.**" in source)
    assert tasks[-1][0] < takeaway, "exercises stand where they belong, not at the end"
    assert found[-1] == ("code", f'progress("{book}")') and found[-2][1].startswith("## Exercises\n")
    assert f"solutions/{book}.py" in found[-2][1] and (ROOT / "notebooks" / "solutions" / f"{book}.py").exists()


def test_every_module_belongs_to_a_notebook():
    modules = sorted((ROOT / "p3mlib" / "exercises").glob("notebook_*.py"))
    assert [path.stem.removeprefix("notebook_") for path in modules] == list(BOOKS)
    assert sorted(path.stem for path in (ROOT / "notebooks" / "solutions").glob("*")) == list(BOOKS)


@pytest.mark.parametrize("number", ALL)
def test_no_answer_never_fails(number):
    reply = check(number, ..., **given(ALL[number]))
    assert reply.solved is None and "not answered yet" in str(reply) and f'hint("{number}")' in reply.text
    assert not progress(number[:2]).solved


@pytest.mark.parametrize("number", ALL)
@pytest.mark.parametrize("answer", [None, "?", [], object(), float("nan"), lambda: 1 / 0], ids=lambda a: type(a).__name__)
def test_a_senseless_answer_is_wrong_and_never_fails(number, answer):
    reply = check(number, answer, **given(ALL[number]))
    assert reply.solved is False and len(reply.text) > 20


@pytest.mark.parametrize("book", BOOKS)
def test_solutions_solve_every_exercise(book, capsys):
    runpy.run_path(str(ROOT / "notebooks" / "solutions" / f"{book}.py"))
    assert progress(book).solved == list(exercises(book)), progress(book)
    assert f"{len(exercises(book))} of {len(exercises(book))} exercises solved" in capsys.readouterr().out
    source = (ROOT / "notebooks" / "solutions" / f"{book}.py").read_text()
    for number in exercises(book):
        assert re.search(rf"^# {number} \w.{{20,}}\.$", source, re.MULTILINE), f"{number}: no sentence says why"


@pytest.mark.parametrize("book", BOOKS)
def test_typical_wrong_answers_are_told_why(book):
    typical, choices = wrong_answers.wrong_answers(book), 0
    for number, answer, data, words in typical:
        reply = check(number, answer, **data)
        assert reply.solved is False and words in reply.text, f"{number}, '{words}': {reply}"
    for number, exercise in exercises(book).items():
        replies = [check(number, letter, **given(exercise)) for letter in letters(exercise) or ()]
        reasons = [reply.text for reply in replies if not reply.solved]
        assert len(reasons) == max(len(replies) - 1, 0) and len(set(reasons)) == len(reasons), number
        assert all(len(reason) > 40 and "Answer with" not in reason for reason in reasons), number
        assert replies or any(number == told for told, *_ in typical), f"{number} has no wrong answer"
        choices += len(reasons)
    assert len(typical) + choices >= 10


def test_progress_tells_open_tried_and_solved():
    check("02.1", 400)
    check("02.3", "c")
    shown = progress("02")
    assert shown.solved == ["02.3"] and "1 of 4 exercises solved" in repr(shown)
    assert [row[3] for row in shown.rows] == ["tried 1 time", "open", "solved", "open"]
    assert "| 02.1 | predict |" in shown._repr_markdown_()
    check("02.3", "a")
    assert progress("02").solved == ["02.3"], "what is solved stays solved"


def test_replies_are_shown_as_text_and_as_markdown():
    assert repr(check("02.3", "c")).startswith("02.3: right. ")
    assert repr(check("02.3", "a")).startswith("02.3: not yet. ")
    assert check("02.3", "a")._repr_markdown_().startswith("**02.3** ✗ **not yet.** ")


@pytest.mark.parametrize("number", ALL)
def test_hints_come_one_by_one(number):
    count = len(ALL[number].hints)
    replies = [hint(number).text for _ in range(count + 1)]
    assert count >= 2 and all(f"hint {k} of {count}" in text for k, text in enumerate(replies[:-1], 1))
    assert f"notebooks/solutions/{number[:2]}.py" in replies[-1]


def test_unknown_exercises_and_other_data_are_named():
    for call in (check, hint):
        with pytest.raises(ValueError, match="no exercise '02.9'; there are 02.1, 02.2"):
            call("02.9")
    with pytest.raises(ValueError, match="no exercises for a notebook '77'"):
        progress("77")
    with pytest.raises(ValueError, match="exercise 02.4 is given pred, alpha, trimap, not alpha"):
        check("02.4", 1, alpha=np.zeros((2, 2)))


def test_answers_are_taken_as_people_write_them():
    for answer in ("c", "C", " c) ", "(c)"):
        assert check("02.3", answer).solved
    for answer in (0.4, np.float32(0.4), np.array([0.4]), 0.401):
        assert check("02.1", answer).solved
    assert check("05.2", "shm").solved and check("12.2", ("pass", "Fail", "UNDECIDED")).solved
