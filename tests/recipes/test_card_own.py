"""A team's own rows: the layouts that the README names, and what is refused or left out with a sentence."""

import json

import pytest
import yaml
from PIL import Image

from extraction.errors import AssayError
from recipes.card.base import read_row, training_part
from recipes.card.examples import answer, asked, examples_of
from recipes.card.grade import box
from recipes.card.readers import read_folders, read_table
from recipes.card.rows import FILE, PARTS, row_at
from recipes.notes.readers import read_ehr_note_qa
from tests.recipes.pictures import picture, table


def own(folder, **row):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "row.yaml").write_text(yaml.safe_dump({"recipe": "vqa", **row}))
    return row_at(folder)


TEXTS = {"recipe": "exams", "columns": {"question": "q", "options": "o", "answer": "a"}}


def test_tables_in_folders_of_their_split(tmp_path):
    for split in ("train", "validation", "test"):
        picture(tmp_path / split / "1.png")
        table(
            tmp_path / split / ("T.CSV" if split == "test" else "t.csv"),
            [{"image": "1.png", "q": f"{split}?", "y": "no"}],
        )
    row = own(tmp_path, grader="yes_no", columns={"image": "image", "question": "q", "answer": "y"})
    for split in ("train", "validation", "test"):
        for folder in (tmp_path, tmp_path / split):
            [item] = read_table(folder, split, row).items
            assert (item.question, item.images) == (f"{split}?", (tmp_path / split / "1.png",))


def test_pictures_are_shown_whether_or_not_their_column_is_named(tmp_path):
    picture(tmp_path / "1.png")
    table(tmp_path / "test.csv", [{"Image": "1.png", "question": "Is it?", "answer": "no"}])
    row = own(tmp_path, grader="yes_no")
    assert read_table(tmp_path, "test", row).items[0].images == (tmp_path / "1.png",)
    table(tmp_path / "test.csv", [{"img": "1.png", "question": "Is it?", "answer": "no"}])
    with pytest.raises(AssayError, match="no column `image`; `img` is nearest"):
        read_table(tmp_path, "test", row)


def test_a_spreadsheet_and_another_encoding_are_named_with_the_remedy(tmp_path):
    row = own(tmp_path, **TEXTS)
    (tmp_path / "test.xlsx").write_bytes(b"PK")
    with pytest.raises(AssayError, match=r"test\.xlsx is no CSV and no JSONL; save its table as a CSV in UTF-8"):
        read_table(tmp_path, "test", row)
    (tmp_path / "test.csv").write_bytes("q,o,a\nWie gro\u00df?,a|b,a\n".encode("latin-1"))
    with pytest.raises(AssayError, match=r"line 2, is not UTF-8 \(byte 0xdf.*; save it as UTF-8\."):
        read_table(tmp_path, "test", row)


def test_tables_under_a_name_and_of_windows(tmp_path):
    row = exam(tmp_path, [])
    (tmp_path / "test.jsonl").rename(tmp_path / "test.ndjson")
    (tmp_path / "test.ndjson").write_text('{"q": "Why?", "o": ["x", "y"], "a": "x"}\n')
    assert len(read_table(tmp_path, "test", row).items) == 1
    (tmp_path / "test.ndjson").rename(tmp_path / "test.json")
    (tmp_path / "test.json").write_text(json.dumps({"data": [{"q": "Why?", "o": ["x", "y"], "a": "y"}]}))
    assert [item.gold for item in read_table(tmp_path, "test", row).items] == ["B"]
    image = picture(tmp_path / "own" / "images" / "1.png")
    table(tmp_path / "own" / "test.csv", [{"image": "images\\1.png", "answer": "B"}])
    row = own(tmp_path / "own", classes={"b": "better", "w": "worse"}, question="And now?", columns={"image": "image"})
    [item] = read_table(tmp_path / "own", "test", row).items
    assert (item.images, item.gold) == ((image,), "A")  # the class b, not the option B


def test_a_table_of_one_s_own_may_begin_from_a_published_row(tmp_path):
    picture(tmp_path / "1.png")
    table(tmp_path / "test.csv", [{"image": "1.png", "question": "What?", "answer": "liver"}])
    columns = {"image": "image", "question": "question", "answer": "answer"}
    row = own(tmp_path, base="slake", reader="table", columns=columns)
    assert row.grader == "short" and "Final Answer: X" in row.prompt.ask
    assert [item.gold for item in read_table(tmp_path, "test", row).items] == ["liver"]


def test_what_is_no_picture_in_a_folder_of_a_class_is_named_and_no_leak(tmp_path):
    for number, place in enumerate(f"{split}/{name}" for split in ("train", "test") for name in "ab"):
        picture(tmp_path / place / "1.png", (9, 9, number))
        (tmp_path / place / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    reading = read_row(own(tmp_path, recipe="image_choice", reader="folders", question="What?"), tmp_path, "test")
    assert reading.counts == {"it is no picture by its name": 2} and len(reading.items) == 2


def test_options_are_shown_without_a_prompt(tmp_path):
    table(tmp_path / "test.jsonl", [{"q": "Which {text}?", "o": ["x {letter}", "y"], "a": "y"}])
    row = own(tmp_path, **TEXTS)
    [item] = read_table(tmp_path, "test", row).items
    assert asked(item, row) == "Which {text}?\n(A) x {letter}\n(B) y"
    assert answer(item, row) == "Final Answer: B"


def exam(folder, rows, **row):
    table(folder / "test.jsonl", rows)
    return own(folder, **TEXTS, **row)


def told(row, folder):
    return [(item.question, dict(item.options), item.gold) for item in read_table(folder, "test", row).items]


def test_words_of_options_come_before_places(tmp_path):
    numbers = [{"q": f"How many {n}?", "o": ["1", "2", "3"], "a": n} for n in (2, 3, 4)]
    reading = read_table(tmp_path, "test", exam(tmp_path, numbers))
    assert [item.gold for item in reading.items] == ["B", "C"]
    assert [(why[:29], places) for why, places in reading.left_out.items()] == [
        ("its answer is a number that n", [f"{tmp_path / 'test.jsonl'}, line 3 ('4')"])
    ]
    words = [{"q": f"Which {n}?", "o": "x|y|z", "a": n} for n in (0, 2, 1)]
    with pytest.raises(AssayError, match="where it is a place among them: `places: true` in"):
        read_table(tmp_path, "test", exam(tmp_path, words)).check(tmp_path)
    assert [gold for *_, gold in told(exam(tmp_path, words, places=True), tmp_path)] == ["A", "C", "B"]
    # The row says that they are places: whatever the options say.
    assert [gold for *_, gold in told(exam(tmp_path, numbers[:2], places=True), tmp_path)] == ["B", "C"]


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        ({"1": "x", "2": "y"}, 2), ({"1": "x", "2": "y"}, "y"), ({"a": "x", "b": "y"}, "b"),
        ({"a": "x", "b": "y"}, "B"),
        (["a) x", "b) y"], "b"), (["a) x", "b) y"], "b) y"), (["1. x", "2. y"], "2"), ("x|y", "(b)"), ("x|y", "Y"),
        ({"option1": "x", "option2": "y"}, "option2"), ({"0": "x", "1": "y"}, 1.0),
    ],
)  # fmt: skip
def test_options_are_shown_by_letters_whatever_the_table_calls_them(tmp_path, options, answer):
    row = exam(tmp_path, [{"q": "Which?", "o": options, "a": answer}])
    assert told(row, tmp_path) == [("Which?", {"A": "x", "B": "y"}, "B")]


def test_an_answer_that_names_one_option_and_says_another_is_left_out(tmp_path):
    rows = [{"q": "Blood?", "o": ["AB", "A"], "a": "A"}, {"q": "Blood?", "o": {"A": "B", "B": "A"}, "a": "A"}]
    reading = read_table(tmp_path, "test", exam(tmp_path, rows))
    assert [item.gold for item in reading.items] == ["A"]
    assert reading.counts == {"its answer names one option and says the words of another": 1}


def test_boxes_of_a_table(tmp_path):
    picture(tmp_path / "1.png")
    rows = [{"i": "1.png", "q": f"part {n}", "b": text, "y0": n, "x0": 2, "y1": 300, "x1": 400}
            for n, text in enumerate(("[10, 20, 300, 400]", "[300,20,10,400]", ""))]  # fmt: skip
    table(tmp_path / "test.csv", rows)
    columns = {"image": "i", "question": "q", "answer": "b"}
    row = own(tmp_path, grader="box", columns=columns)
    reading = read_table(tmp_path, "test", row)
    [item] = reading.items
    assert box(answer(item, row), item).scores == {"iou": 1.0} and row.figures[0].score == "iou"
    assert reading.counts == {"its box is none ([y0, x0, y1, x1] from 0 to 1000)": 2}
    row = own(tmp_path, grader="box", columns={**columns, "answer": "y0, x0, y1, x1"})
    assert [item.gold for item in read_table(tmp_path, "test", row).items][1] == (1, 2, 300, 400)
    with pytest.raises(AssayError, match="names 2 columns; that can be one"):
        read_table(tmp_path, "test", own(tmp_path, grader="box", columns={**columns, "answer": "y0, x0"}))


def test_what_nobody_can_answer_is_left_out_with_its_line(tmp_path):
    good = {"q": "Which?", "o": ["x", "y"], "a": "x"}
    odd = [{"q": None}, {"o": [None, "y"]}, {"o": ["x", "X "]}, {"o": 3}, {"a": None}, {"a": "nan"}]
    table(tmp_path / "test.jsonl", [good, *({**good, **one} for one in odd)])
    reading = read_table(tmp_path, "test", own(tmp_path, **TEXTS))
    assert len(reading.items) == 1 and {why: at[0][-1] for why, at in reading.left_out.items()} == {
        "it has no question": "2", "one of its options is empty": "3", "two of its options are the same": "4",
        "it has fewer than two options": "5", "it has no answer": "6",
    }  # fmt: skip
    rows = [{"q": "What?", "a": said} for said in ("heart", "nan", None, "?")]
    table(tmp_path / "test.jsonl", rows)
    row = own(tmp_path, recipe="exams", grader="short", columns={"question": "q", "answer": "a"})
    assert read_table(tmp_path, "test", row).counts == {"it has no answer": 3}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": {"ask": "{qestion}"}}, "unknown `{qestion}` in `prompt.ask`.*did you mean `question`"),
        ({"prompt": {"option": "{0} {foo}"}}, r"unknown `\{0\}` in `prompt.option`"),
        ({"images": "{image.x}.png"}, "unknown `{image.x}` in `images`"),
        ({"images": "{bild}.png"}, "unknown `{bild}` in `images`"),
        ({"columns": {"pateint": "p"}}, "unknown `pateint` in `columns`; did you mean `patient`"),
        ({"files": {"tst": ["a"]}}, "unknown `tst` in `files`; did you mean `test`"),
        ({"classes": {True: "there"}}, "not True; YAML takes yes, no, on and off for true and false; put it in quotes"),
        ({"classes": {1: "there"}}, "not 1; put it in quotes"),
        ({"figures": [{"name": "acuracy"}]}, "unknown figure `acuracy`; did you mean `accuracy`"),
        ({"figures": [{"name": "x", "over": "recal"}]}, "did you mean `recall`"),
        ({"figures": [{"name": "x", "score": "f1"}]}, "made of `f1`, which the grader choice does not give"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(tmp_path, row, said):
    with pytest.raises(AssayError, match=said):
        own(tmp_path, **row)


def test_a_prompt_s_own_braces_and_columns_that_are_not_there(tmp_path):
    row = own(tmp_path, recipe="exams", files={"test": ["t.csv"]}, grader="yes_no",
              prompt={"ask": '{question} \\boxed{X} {"a": 1}'},
              columns={"question": "q", "answer": "a", "patient": "fal"})  # fmt: skip
    table(tmp_path / "t.csv", [{"q": "Is it?", "a": "no", "fall": "1"}])
    with pytest.raises(AssayError, match="no column `fal`; `fall` is nearest"):
        read_table(tmp_path, "test", row)
    with pytest.raises(AssayError, match="has nothing to choose from"):
        read_table(tmp_path, "test", own(tmp_path, files={"test": ["t.csv"]}, columns={"question": "q", "answer": "a"}))


def test_splits_of_a_column_that_are_none_are_counted(tmp_path):
    table(tmp_path / "t.csv", [{"q": "Is it?", "a": "no", "s": split} for split in ("Test", "tst", "train")])
    columns = {"question": "q", "answer": "a", "split": "s"}
    row = own(tmp_path, recipe="exams", grader="yes_no", columns=columns)
    reading = read_table(tmp_path, "test", row)
    assert len(reading.items) == 1
    assert reading.left_out == {
        "its split is none of train, validation and test": [f"{tmp_path / 't.csv'}, line 3 ('tst')"]
    }


def test_a_column_called_split_divides_a_table_that_no_name_says_the_split_of(tmp_path):
    rows = [{"q": f"Is it {n}?", "a": "no", "Split": split} for n, split in enumerate(("Test", "valid", "train"))]
    row = own(tmp_path, recipe="exams", grader="yes_no", columns={"question": "q", "answer": "a"})
    table(tmp_path / "t.csv", rows)
    asked = {split: [i.question for i in read_row(row, tmp_path, split).items] for split in PARTS}
    assert asked == {"train": ["Is it 2?"], "validation": ["Is it 1?"], "test": ["Is it 0?"]}
    assert [i.question for i in training_part(row, tmp_path).items] == ["Is it 2?"]
    (tmp_path / "t.csv").unlink()
    table(tmp_path / "test.csv", rows)  # the file's own name says that all of it is the test
    assert len(read_table(tmp_path, "test", row).items) == 3


def test_what_is_missing_is_told_with_what_mends_it(tmp_path):
    (tmp_path / "a").mkdir()
    for recipe, said in (("volume", "`base:` ct or ct_change or mri with a table"), ("slide", "`base:` wsi_choice or")):
        with pytest.raises(AssayError, match=said) as error:
            row_at(tmp_path, recipe)
        assert ("published name" in str(error.value)) == (recipe == "volume")
    (tmp_path / FILE).write_text("base: ct\nshown: CT\n")
    with pytest.raises(AssayError, match="did you mean `ct`"):
        row_at(tmp_path)
    table(tmp_path / "t.csv", [{"study": "a", "label": "x", "answer": "yes", "question": "y"}])
    (tmp_path / FILE).write_text("base: ct\n")
    with pytest.raises(AssayError, match=r"no column `patient`\. .* that of the image or study where each is another"):
        read_row(row_at(tmp_path), tmp_path, "test")


def test_classes_are_the_same_in_all_splits(tmp_path):
    for place in ("train/a/1.png", "train/b/1.png", "test/b/1.png", "test/c/deep/1.png"):
        picture(tmp_path / place)
    row = own(tmp_path, reader="folders", question="Which?")
    test, train = (read_folders(tmp_path, split, row) for split in ("test", "train"))
    assert test.items[0].options == train.items[0].options == {"A": "a", "B": "b", "C": "c"}
    assert read_folders(tmp_path / "test", "test", row).items[0].options == test.items[0].options
    assert test.counts == {"it lies in a folder within its class's": 1}
    assert test.said == [f"{tmp_path / 'test'} has no image of a, c."]
    with pytest.raises(AssayError, match="nothing is asked of the images"):
        read_folders(tmp_path, "test", own(tmp_path, reader="folders"))


@pytest.mark.parametrize("text", ["3", '"word"', "null"])
def test_a_json_that_is_no_table(tmp_path, text):
    (tmp_path / "test.json").write_text(text)
    with pytest.raises(AssayError, match=r"test\.json holds .* alone; write a list of objects"):
        read_table(tmp_path, "test", own(tmp_path, **TEXTS))


def test_a_part_of_a_division_into_folders_is_not_its_own_training_part(tmp_path):
    for number, place in enumerate(("train", "validation", "test", "more")):
        for name in "ab":
            picture(tmp_path / place / name / "1.png", (number, ord(name), 9))
    row = own(tmp_path, reader="folders", question="Which?")
    for place, split in (("train", "train"), ("validation", "validation"), ("test", "test"), ("more", "test")):
        assert len(read_row(row, tmp_path / place, split).items) == 2
    with pytest.raises(AssayError, match=r"whether it is the training part, too\. Call it validation"):
        read_row(row, tmp_path / "more", "validation")
    picture(tmp_path / "validation" / "a" / "2.png", (0, ord("a"), 9))
    with pytest.raises(AssayError, match=r"leaks: 1 of its pictures .*2\.png \(as 1\.png\)"):
        read_row(row, tmp_path / "validation", "validation")


def test_odd_notes(tmp_path):
    folder = tmp_path / "ehrnoteqa"
    rows = [{"patient_id": 7, "num_notes": count, "question": question, "choice_A": 1, "choice_B": "b", "answer": "A"}
            for count, question in ((1, "Why?"), (None, "Why?"), ("two", "Why?"), (1.0, None))]  # fmt: skip
    table(folder / "EHRNoteQA.jsonl", rows)
    (folder / "discharge.csv").write_text("subject_id,charttime,text\n7,2180,Note\n")
    reading = read_ehr_note_qa(folder, "test", row_at(folder))
    assert [json.dumps(item.options) for item in reading.items] == ['{"A": "1", "B": "b"}']
    assert sum(reading.counts.values()) == 3
    (folder / "discharge.csv").write_text("subject_id,charttime,text\n7,2180\n")
    with pytest.raises(AssayError, match=r"discharge\.csv, line 2, is cut off"):
        read_ehr_note_qa(folder, "test", row_at(folder))


def test_questions_that_are_repeated_count_once_and_those_with_two_answers_not_at_all(tmp_path):
    for name in "ab":
        picture(tmp_path / f"{name}.png")
    said = (
        ("a", "Well?", "yes"),
        ("a", "Well?", "Yes"),
        ("b", "Well?", "yes"),
        ("b", "Well?", "no"),
        ("b", "Ill?", "no"),
    )
    table(tmp_path / "test.csv", [{"image": f"{i}.png", "question": q, "answer": a} for i, q, a in said])
    reading = read_table(tmp_path, "test", own(tmp_path, grader="yes_no"))
    assert [item.question for item in reading.items] == ["Well?", "Ill?"]
    assert list(reading.counts.values()) == [1, 2] and "line 3 (as in" in reading.told()[0]
    assert "line 4 ('yes')" in reading.told()[1] and "line 5 ('no')" in reading.told()[1]


def test_leaks_by_a_number_s_writing_a_picture_s_bytes_and_a_question_s_words(tmp_path):
    def sides(name, train, test, **row):
        for split, rows in (("train", train), ("test", test)):
            table(tmp_path / name / split / "t.csv", rows)
        return own(tmp_path / name, grader="yes_no", **row), tmp_path / name / "test"

    asked = {"question": "Is it?", "answer": "no"}
    for place, colour in (("train/a", 1), ("train/b", 2), ("test/c", 1), ("test/d", 3)):
        picture(tmp_path / "own" / f"{place}.png", (colour, 9, 9))
    train, test = ([{"image": f"{name}.png", **asked} for name in names] for names in ("ab", "cd"))
    with pytest.raises(AssayError, match=r"1 of its pictures are in its .* c\.png \(as a\.png\)"):
        read_row(*sides("own", train, test), "test")
    patients = [[{**one, "p": p} for one, p in zip(rows, own, strict=True)]
                for rows, own in ((train, ("17.0", "")), (test, ("17", "18")))]  # fmt: skip
    with pytest.raises(AssayError, match="1 of its 2 patients or images are in its training part, too: 17"):
        read_row(*sides("own", *patients, columns={"patient": "p"}), "test")
    patients[1][0]["p"] = ""
    row = sides("own", *patients, columns={"patient": "p"}, leak="Known.")
    assert "1 of 2 questions name no patient (column `p`)" in read_row(*row, "test").said[0]
    with pytest.raises(AssayError, match=r"1 of its questions .1 in all. are, word for word, in its training part"):
        read_row(*sides("exam", [asked], [asked], recipe="exams"), "test")


def test_own_data_that_begin_from_a_published_row_are_own(tmp_path):
    for name in "abc":
        picture(tmp_path / f"{name}.png")
    rows = [{"image": "a.png", "next": f"{name}.png", "y": y} for name, y in (("b", "up"), ("b", "up"), ("c", "down"))]
    table(tmp_path / "test.csv", rows)
    row = own(tmp_path, base="ms_cxr_t", recipe="chest_xray", reader="table", classes={"down": "Worse", "up": "Better"},
              question="And now?", columns={"image": "image, next", "answer": "y"})  # fmt: skip
    reading = read_table(tmp_path, "test", row)
    assert [(dict(item.options), item.gold) for item in reading.items] == [
        ({"A": "Worse", "B": "Better"}, "B"), ({"A": "Worse", "B": "Better"}, "A")
    ]  # fmt: skip
    assert reading.counts == {"the same question with the same answer stands there before": 1}
    assert [figure.published for figure in row.figures] == [(), ()] and row.prompt.labels
    assert not (row.note or row.access)  # these are of the base's data


def test_pictures_outside_folders_and_pages_are_said(tmp_path):
    data, frames = tmp_path / "own", [Image.new("L", (8, 8), shade) for shade in (0, 9)]
    for name in (data / "images" / "a.png", tmp_path / "other.png"):
        picture(name)
    for name in ("b.tif", "c.gif"):
        frames[0].save(data / "images" / name, save_all=True, append_images=frames[1:])
    (data / "test" / "deep").mkdir(parents=True)
    names = (
        "../images/a.png",
        str(tmp_path / "other.png"),
        "../../other.png",
        "deep",
        "../images/b.tif",
        "../images/c.gif",
    )
    table(data / "test" / "t.csv", [{"image": name, "question": f"Is it {name}?", "answer": "no"} for name in names])
    row = own(data, grader="yes_no")
    reading = read_table(data / "test", "test", row)
    assert reading.counts == {"its image lies outside of the data folder": 2, "its image is a folder": 1}
    examples_of(reading, row)
    assert reading.told()[-2:] == [
        "b.tif: only the first of its 2 pages is shown.",
        "c.gif: only the first of its 2 pictures (it is animated) is shown.",
    ]


def test_a_name_that_stands_twice_is_refused(tmp_path):
    (tmp_path / "row.yaml").write_text("recipe: vqa\ngrader: short\nrecipe: exams\n")
    with pytest.raises(AssayError, match="line 3, has the key `recipe` a second time"):
        row_at(tmp_path)
    (tmp_path / "test.csv").write_text("q,a,q\nIs it?,no,Was it?\n")
    with pytest.raises(AssayError, match=r"test\.csv has two columns `q`"):
        read_table(tmp_path, "test", own(tmp_path, recipe="exams", grader="yes_no"))
