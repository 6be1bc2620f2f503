"""Exams in their publishers' formats: read, asked, graded, trained."""

import json

import pytest

from extraction import Extractor
from extraction.errors import AssayError
from extraction.generate import LocalBackend
from extraction.room import Room
from finetune.config import RunConfig
from finetune.data import check_split
from finetune.task import DataRequest, evaluate, load_task, read_examples
from recipes.card.base import read_row
from recipes.card.rows import by_name, published, row_at
from recipes.exams.task import TASK


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def question(number, answer="B", **more):
    options = {"A": "aspirin", "B": "bed rest", "C": "codeine", "D": "dialysis"}
    return {"question": f"What helps patient {number}?", "options": options, "answer_idx": answer, **more}


def told(row, folder, split="test"):
    return [(item.question, dict(item.options), item.gold) for item in read_row(row, folder, split).items]


def test_medqa_in_its_authors_layout(tmp_path):
    folder = tmp_path / "MedQA-USMLE"
    for split, count in (("train", 3), ("dev", 2), ("test", 1)):
        name = f"questions/US/4_options/phrases_no_exclude_{split}.jsonl"
        write(folder / name, [question(f"{split}{n}", "ABCD"[n]) for n in range(count)])
    row = row_at(folder)
    assert row.name == "medqa"
    assert [len(told(row, folder, split)) for split in ("train", "validation", "test")] == [3, 2, 1]
    assert told(row, folder)[0][2] == "A"


@pytest.mark.parametrize(
    ("cop", "letters"), [([0, 3, 1], "ADB"), ([1, 4, 2], "ADB"), ([0, 1, 1], "ABB"), ([-1, 4, 2], "DB")]
)
def test_medmcqa_counts_its_answers_from_0_or_from_1(tmp_path, cop, letters):
    folder = tmp_path / "medmcqa"
    columns = {"opa": "one", "opb": "two", "opc": "three", "opd": "four", "choice_type": "single", "exp": "so"}
    rows = [{"id": f"q{n}", "question": f"Which {n}?", "cop": answer, **columns} for n, answer in enumerate(cop)]
    write(folder / "dev.json", rows)  # JSON lines, as its authors have them
    row = row_at(folder)
    assert "".join(gold for _, _, gold in told(row, folder)) == letters
    assert told(row, folder)[0][1]["D"] == "four"


def test_a_part_of_training_is_held_out_where_there_is_no_other(tmp_path):
    folder = tmp_path / "MedXpertQA"
    rows = [
        {"id": f"T-{n}", "question": f"Which {n}?", "options": {"A": "a", "B": "b"}, "label": "A"} for n in range(5)
    ]
    write(folder / "Text" / "dev.jsonl", rows)
    write(folder / "Text" / "test.jsonl", [{**rows[0], "id": "T-9", "question": "When?"}])
    row = by_name("medxpertqa_text")
    train, held = ({item.id for item in read_row(row, folder, split).items} for split in ("train", "validation"))
    assert (len(train), len(held)) == (4, 1) and not train & held
    split = {name: row.files for name, row in published().items() if set(row.files.get("validation", ())) & {
        one for part in ("train", "test") for one in row.files.get(part, ())}}  # fmt: skip
    assert set(split) == {"eyepacs", "pubmedqa"}  # which their readers divide


def test_validation_leaves_out_what_published_training_repeats(tmp_path):
    folder = tmp_path / "medqa"
    write(folder / "train.jsonl", [question(1), question(2)])
    write(folder / "dev.jsonl", [question(2), question(2), question(3)])
    reading = read_row(row_at(folder), folder, "validation")
    assert [item.question for item in reading.items] == ["What helps patient 3?"]
    assert reading.counts == {"its question or picture stands in the training part, too": 2}
    train, held = (
        TASK.read(DataRequest(folder, part, TASK.contract, Room(len, TASK.contract)))
        for part in ("train", "validation")
    )
    check_split(train, held)
    assert len(train) == 2 and "dev.jsonl, line 1" in reading.told()[0]


def test_answers_that_fit_both_ways_of_counting_are_refused(tmp_path):
    folder = tmp_path / "medmcqa"
    columns = {"opa": "one", "opb": "two", "opc": "three", "opd": "four"}
    write(folder / "dev.jsonl", [{"id": f"q{n}", "question": "Which?", "cop": n, **columns} for n in (1, 2, 3)])
    with pytest.raises(AssayError, match=r"dev\.jsonl numbers its answers 1 to 3, from 0 or from 1"):
        read_row(by_name("medmcqa"), folder, "test")


def test_pubmedqa_in_its_authors_layout(tmp_path):
    folder = tmp_path / "pubmedqa"
    (folder / "data").mkdir(parents=True)
    entry = {"CONTEXTS": ["It was tried.", "It helped."], "LABELS": [], "MESHES": []}
    whole = {
        str(n): {**entry, "QUESTION": f"Does {n} help?", "final_decision": ("yes", "no", "maybe")[n % 3]}
        for n in range(60)
    }
    (folder / "data" / "ori_pqal.json").write_text(json.dumps(whole))
    (folder / "data" / "test_ground_truth.json").write_text(json.dumps({"1": "no", "2": "maybe"}))
    row = row_at(folder)
    assert told(row, folder) == [
        (f"It was tried.\nIt helped.\nDoes {n} help?", {"A": "yes", "B": "no", "C": "maybe"}, letter)
        for n, letter in ((1, "B"), (2, "C"))
    ]
    assert len(told(row, folder, "train")) == 8 and len(told(row, folder, "validation")) == 50
    (folder / "data" / "test_ground_truth.json").unlink()
    with pytest.raises(AssayError, match=r"test_ground_truth\.json is missing"):
        read_row(row, folder, "test")


def test_mmlu_in_its_authors_layout_medical_subjects_alone(tmp_path):
    folder = tmp_path / "mmlu"
    (folder / "test").mkdir(parents=True)
    (folder / "test" / "anatomy_test.csv").write_text('"What, exactly?",a,b,c,d,C\nWhere?,a,b,c,d,A\n')
    (folder / "test" / "astronomy_test.csv").write_text("How far?,a,b,c,d,C\n")
    reading = read_row(row_at(folder), folder, "test")
    assert [(i.question, i.gold, i.group) for i in reading.items] == [
        ("What, exactly?", "C", "anatomy"),
        ("Where?", "A", "anatomy"),
    ]
    (folder / "dev").mkdir()
    (folder / "dev" / "anatomy_dev.csv").write_text("Why?,a,b,c,d,B\n")
    assert [question for question, _, _ in told(row_at(folder), folder, "train")] == ["Why?"]
    with pytest.raises(AssayError, match=r"for the split validation .*; open \(MIT\)"):
        read_row(row_at(folder), folder, "validation")


def test_afrimedqa_version_2_leaves_out_several_right_answers(tmp_path):
    folder = tmp_path / "afrimed_qa_v2"
    folder.mkdir()
    options = json.dumps({"option1": "malaria", "option2": "dengue", "option3": ""}).replace('"', '""')
    lines = ["sample_id,question_type,question,question_clean,answer_options,correct_answer,split"]
    lines += [
        f'{n},mcq,Q{n},Which {n}?,"{options}","{answer}",test' for n, answer in ((1, "option2"), (2, "option1,option2"))
    ]
    lines += ["3,saq,Q3,Say it,,free,test"]
    (folder / "afri_med_qa_15k.csv").write_text("\n".join(lines))
    reading = read_row(row_at(folder), folder, "test")
    assert [(i.question, i.gold, dict(i.options)) for i in reading.items] == [
        ("Which 1?", "B", {"A": "malaria", "B": "dengue"})
    ]
    assert reading.counts == {
        "several of its options are right": 1, "it is no question of multiple choice": 1
    }  # fmt: skip
    lines += [f'{n},mcq,Q{n},Which {n}?,"{options}",option1,train' for n in range(10, 40)]
    (folder / "afri_med_qa_15k.csv").write_text("\n".join(lines))
    train, held = ({i.id for i in read_row(row_at(folder), folder, part).items} for part in ("train", "validation"))
    assert (len(train), len(held)) == (27, 3) and not train & held


def test_the_question_is_asked_word_for_word(tmp_path):
    folder = tmp_path / "medqa"
    write(folder / "test.jsonl", [question(1)])
    [example] = TASK.read(DataRequest(folder, "test", TASK.contract, Room(len, TASK.contract)))
    [turn] = TASK.contract.messages(example.context.parts, example.branches[0].parts)
    assert turn["content"] == [
        {
            "type": "text",
            "text": "SYSTEM INSTRUCTION: think silently if needed.\n\nWhat helps patient 1?\n(A) aspirin\n"
            "(B) bed rest\n(C) codeine\n(D) dialysis\nYou may write out your argument before stating your final, very "
            "short, definitive, and concise answer (no more than a few words or the letter corresponding to your "
            'answer choice if the question is multiple choice) X in the format "Final Answer: X":',
        }
    ]
    assert example.branches[0].gold == {"answer": "Final Answer: B"}


def test_what_is_wrong_with_questions_is_counted_and_said(tmp_path, capsys):
    folder = tmp_path / "medmcqa"
    rows = [
        question(1, realidx="a"),
        question(2, realidx="a"),
        question(3, "E", realidx="c"),
        question(4, "", realidx="d"),
    ]
    write(folder / "test.jsonl", rows)
    [example] = TASK.read(DataRequest(folder, "test", TASK.contract, Room(len, TASK.contract)))
    reading = example.branches[0].source.reading
    assert reading.counts == {
        "its id stands there twice": 1, "its answer is none of its options": 1, "it has no answer": 1
    }  # fmt: skip
    out = "".join(capsys.readouterr())
    assert "test.jsonl, line 2 (id a)" in out and "line 3 ('E', not one of A, B, C, D)" in out


def test_other_column_names_are_refused_with_the_nearest(tmp_path):
    folder = tmp_path / "medqa"
    write(folder / "test.jsonl", [{"question": "Which?", "options": {"A": "a"}, "answer_index": "A"}])
    with pytest.raises(AssayError, match=r"test\.jsonl has no column `answer_idx`; `answer_index` is nearest"):
        read_row(row_at(folder), folder, "test")


def test_broken_lines_and_encodings_are_named(tmp_path):
    folder = tmp_path / "medqa"
    write(folder / "test.jsonl", [question(1)])
    with (folder / "test.jsonl").open("a") as file:
        file.write('{"question": \n')
    with pytest.raises(AssayError, match=r"test\.jsonl, line 2 is not JSON"):
        read_row(row_at(folder), folder, "test")
    (folder / "test.jsonl").write_bytes(json.dumps(question(1)).encode() + b'\n{"question": "caf\xe9"}\n')
    with pytest.raises(AssayError, match=r"test\.jsonl, line 2, is not UTF-8"):
        read_row(row_at(folder), folder, "test")


def test_a_team_s_own_table_needs_no_python(tmp_path):
    (tmp_path / "own" / "train").mkdir(parents=True)
    (tmp_path / "own" / "test").mkdir()
    (tmp_path / "own" / "row.yaml").write_text(
        "recipe: exams\ncolumns: {question: Frage, options: 'eins, zwei', answer: richtig, patient: pat}\n"
        "prompt: {ask: \"{question}\\n{options}\", answer: '{answer}'}\n"
    )
    head = "Frage,eins,zwei,richtig,pat\n"
    (tmp_path / "own" / "train" / "a.csv").write_text(head + "Links?,ja,nein,ja,p1\nRechts?,ja,nein,nein,p1\n")
    (tmp_path / "own" / "test" / "b.csv").write_text(head + "Oben?,ja,nein,ja,p2\n", encoding="utf-8-sig")
    wanted = [
        DataRequest(tmp_path / "own" / split, split, TASK.contract, Room(len, TASK.contract))
        for split in ("train", "test")
    ]
    train, test = (read_examples(TASK, one) for one in wanted)
    assert [example.branches[0].parts for example in train] == [
        ("Links?\n(A) ja\n(B) nein",),
        ("Rechts?\n(A) ja\n(B) nein",),
    ]
    assert test[0].branches[0].gold == {"answer": "A"}
    (tmp_path / "own" / "test" / "b.csv").write_text(head + "Oben?,ja,nein,ja,p1\n")
    with pytest.raises(AssayError, match="leaks: 1 of its 1 patients or images are in its training part, too: p1"):
        read_examples(TASK, wanted[1])


def test_a_row_with_an_unknown_key_names_the_nearest(tmp_path):
    (tmp_path / "row.yaml").write_text("recipe: exams\ncolums: {question: q}\n")
    with pytest.raises(AssayError, match="unknown key `colums`; did you mean `columns`"):
        row_at(tmp_path)


def test_a_folder_of_nothing_that_is_known_says_what_to_do(tmp_path):
    with pytest.raises(AssayError, match=r"put a row\.yaml there"):
        row_at(tmp_path, "exams")


def test_a_model_is_judged_with_an_interval(tmp_path, tiny_model, tokenizer):
    folder = tmp_path / "medqa"
    write(folder / "test.jsonl", [question(n) for n in range(4)])
    contract = TASK.contract.model_copy(update={"max_answer_tokens": 4})
    examples = read_examples(TASK, DataRequest(folder, "test", contract, Room(len, contract)))
    figures = evaluate(Extractor(LocalBackend(tiny_model, tokenizer), contract), TASK, examples).figures
    assert figures["questions"] == 4 and figures["accuracy, low"] <= figures["accuracy"] <= figures["accuracy, high"]
    assert sum(value for name, value in figures.items() if name.startswith("ungraded")) > 0


def test_the_recipe_is_found_by_its_name():
    assert load_task("exams") is TASK
    assert by_name("medqa").n == 1273
    assert RunConfig.model_fields["recipe"]
    with pytest.raises(AssayError, match="did you mean medqa"):
        by_name("medqua")


def test_published_questions_are_all_read(shared_data):
    folder = shared_data / "card" / "exams"
    if not folder.is_dir():
        pytest.skip("the exams are not here")
    counts = {"medqa": 1273, "medmcqa": 2816, "pubmedqa": 500, "mmlu": 1089, "medxpertqa-r": 1861, "medxpertqa-u": 589}
    for name, count in counts.items():
        reading = read_row(row_at(folder / name), folder / name, "test")
        assert (len(reading.items), reading.left_out) == (count, {})
