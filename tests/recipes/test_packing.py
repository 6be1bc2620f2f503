"""Every recipe packed: rows with several of its examples have the loss and the gradients of the examples apart."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import recipes
from extraction.example import ImagePart
from extraction.families import family_of
from extraction.generate.spans import NAME
from extraction.room import Room
from finetune.config import DataConfig
from finetune.encode import IGNORED, Collator, encode_all
from finetune.features import keep_pixels
from finetune.pack import pack
from finetune.task import DataRequest, load_task, read_examples
from tests.conftest import tiny_gemma, tiny_medgemma
from tests.extraction.test_slide import PINK, svs, tile
from tests.recipes.ehr_bundles import PATIENT, everything, write
from tests.recipes.pictures import mimic, picture, slake, table
from tests.recipes.test_volumes import nifti

LOSS, GRADIENT = 1e-5, 1e-4  # relative, in float32; sums are taken in another order


def reports(folder):
    from recipes.lab_report.synthetic import families, write_reports

    write_reports(folder, names=families("train"), count=2, seed=5, max_rows=3)


def bundles(folder):
    folder.mkdir()
    one = write(folder / "p1.json", everything()).read_text()
    (folder / "p2.json").write_text(one.replace(PATIENT, "p2"))


def queries(folder):
    from recipes.ehr_query.questions import write_questions

    folder.mkdir()
    write_questions(folder / "questions.jsonl", 4, 0, held_out=False)


def exam(folder):
    options = {"A": "aspirin", "B": "bed rest"}
    rows = [{"question": f"What helps {n}?", "options": options, "answer_idx": "AB"[n % 2]} for n in range(4)]
    table(folder / "train.jsonl", rows)
    (folder / "row.yaml").write_text("base: medqa\n")


def notes(folder):
    rows = [{"text": f"Note of patient {n}.", "question": asked, "options": "yes|no", "answer": "no", "patient": n}
            for n in (7, 8) for asked in ("Is it old?", "Is it here?")]  # fmt: skip
    table(folder / "train.csv", rows)
    columns = "{text: text, question: question, options: options, answer: answer, patient: patient}"
    (folder / "row.yaml").write_text(f"recipe: notes\ncolumns: {columns}\n")


def classes(folder):
    rows = [{"image": picture(folder / f"{n}.png", (90 * n, 40, 50)).name, "answer": "ab"[n]} for n in range(2)]
    table(folder / "train.csv", rows)
    (folder / "row.yaml").write_text(
        "recipe: image_choice\ncolumns: {image: image, answer: answer}\nclasses: {a: normal, b: diseased}\n"
        'question: What is seen?\nprompt: {ask: "{question}\\n{options}", answer: "({answer})"}\n'
    )


def xrays(folder):
    mimic(folder, studies=("train", "train"))
    (folder / "row.yaml").write_text("base: mimic_cxr\n")


def asked_pictures(folder):
    slake(folder)
    rows = (folder / "validate.json").read_text()
    (folder / "train.json").write_text((folder / "train.json").read_text()[:-1] + "," + rows[1:])
    (folder / "row.yaml").write_text("base: slake\n")


def scans(folder):
    for name in "ab":
        nifti(folder / f"{name}.nii.gz", np.random.default_rng(ord(name)).integers(-1000, 500, (2, 8, 8)))
    rows = [{"study": f"{name}.nii.gz", "label": label, "answer": gold, "patient": name}
            for name in "ab" for label, gold in (("a tumour", "yes"), ("a stroke", "no"))]  # fmt: skip
    table(folder / "train.csv", rows)
    (folder / "row.yaml").write_text("base: ct\n")


def slides(folder):
    folder.mkdir()
    for n, name in enumerate("ab"):
        svs(folder / f"{name}.svs", 512, 512, chosen=lambda *_, n=n: tile((PINK[0] - 40 * n, *PINK[1:])), downs=())
    rows = [{"slide": f"{name}.svs", "question": "Which is it?", "options": "benign|malignant", "answer": "malignant",
             "patient": name} for name in "ab"]  # fmt: skip
    table(folder / "train.csv", rows)
    (folder / "row.yaml").write_text("base: wsi_choice\nmagnification: 20\n")


DATA = {
    "documents": reports, "lab_report": reports, "ehr_qa": bundles, "ehr_query": queries, "exams": exam, "notes": notes,
    "vqa": asked_pictures, "image_choice": classes, "chest_xray": xrays, "volume": scans, "slide": slides,
}  # fmt: skip


def test_every_recipe_with_a_task_is_tried():
    assert set(DATA) == {path.parent.name for path in Path(recipes.__file__).parent.glob("*/task.py")}


@pytest.fixture(scope="module")
def models(tokenizer, image_tokenizer):
    """A model that reads and one that sees, each with its family."""
    made = (tiny_gemma(3), tokenizer), (tiny_medgemma(3), image_tokenizer)
    return [(model, family_of(model.config, words)) for model, words in made]


def shows(example):
    """Whether an example has pictures."""
    parts = [*example.context.parts, *(part for branch in example.branches for part in branch.parts)]
    return any(isinstance(part, ImagePart) for part in parts)


def trained(model, batches, attention):
    """The loss of all batches together, and its gradients by name."""
    model.set_attn_implementation(attention)
    model.zero_grad()
    loss = 0.0
    for batch in batches:
        labels = batch.pop("labels")[0, 1:]
        places = (labels != IGNORED).nonzero()[:, 0]  # the head's other rows have no part in the loss
        logits = model(**batch, use_cache=False, logits_to_keep=places).logits[0]
        own = torch.nn.functional.cross_entropy(logits, labels[places], reduction="sum")
        own.backward()
        loss += own.item()
    return loss, {name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}


@pytest.mark.parametrize("recipe", DATA)
def test_packed_rows_have_the_loss_and_gradients_of_the_examples_apart(recipe, models, tmp_path):
    DATA[recipe](tmp_path / "data")
    task = load_task(recipe)
    contract = load_task("lab_report").contract if recipe == "documents" else task.contract
    contract = contract.model_copy(update={"max_prompt_tokens": min(contract.max_prompt_tokens, 1500)})

    model, family = models[0]
    room = Room(family.count, contract)
    examples = read_examples(task, DataRequest(tmp_path / "data", "train", contract, room, questions=3))
    if pictures := shows(examples[0]):
        model, family = models[1]
    settings = DataConfig(train=".", validation=".", max_length=8192)
    rows = list(encode_all(examples, contract, family, settings, 0))
    packed = pack(rows, 2 * max(len(row["input_ids"]) for row in rows))
    assert len(examples) > 1 and len(packed) < len(rows)
    each = [replace(example, branches=(branch,)) for example in examples for branch in example.branches]
    apart = list(encode_all(each, contract, family, settings, 0))
    learned = [sum(label != IGNORED for row in own for label in row["labels"]) for own in (apart, packed)]
    assert not any("branches" in row for row in apart) and learned[0] == learned[1] > 0

    together, alone = (keep_pixels(own, family, tmp_path) for own in (packed, apart))
    collate = Collator(family, in_row=True)
    loss, gradients = trained(model, [collate([row]) for row in together], NAME)
    # Text alone goes the plain way: its own row, a plain mask, the model's usual attention.
    plain = Collator(family, in_row=pictures)
    expected, summed = trained(model, [plain([row]) for row in alone], NAME if pictures else "sdpa")
    assert loss == pytest.approx(expected, rel=LOSS) and gradients.keys() == summed.keys()
    for name, gradient in gradients.items():
        assert (gradient - summed[name]).norm() <= GRADIENT * summed[name].norm() + 1e-6, name
