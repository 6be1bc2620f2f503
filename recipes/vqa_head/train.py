"""Train a VQA head with LoRA on the towers, and judge it as SLAKE and VQA-RAD are: open, closed, overall."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import Trainer
from transformers.trainer_callback import PrinterCallback

from extraction.errors import AssayError, reason
from extraction.files import write_whole
from extraction.generate.hub import quiet_libraries
from finetune.answers import write_answers
from finetune.data import of_both
from finetune.encode import training_order, whole_batches
from finetune.page import write_report
from finetune.preflight import check_trackers
from finetune.processes import check_launch, on_all, on_main, say, world_size
from finetune.run import RunFolder
from finetune.train import in_folder, keep_best, training_arguments
from finetune.trainer import Judging, Progress
from recipes.contrastive.adapter import still, targets
from recipes.contrastive.data import Left
from recipes.contrastive.embed import read_pixels
from recipes.contrastive.load import VQA_HEAD, Dual, load, shape_of
from recipes.contrastive.resume import check_same_data
from recipes.contrastive.words import Words
from recipes.vqa_head.config import FusionConfig, VqaConfig
from recipes.vqa_head.data import Question, QuestionRows, collate, read_questions, row_of
from recipes.vqa_head.model import VqaModel


def train(config: VqaConfig) -> Path:
    """Run, or go on with, the training that `config` describes; the folder of the finished adapter.

    Raises:
        AssayError: wrong data, model, or output folder; nothing is half-written.
    """
    quiet_libraries()
    on_all(lambda: check_config(config))

    def work(folder: RunFolder, checkpoint: Path | None) -> None:
        questions, held_out = on_main(lambda: read_data(config))
        answers = answers_of(questions)
        dual = on_all(lambda: fed(load(config.model, "cpu"), config.fusion))
        trainer = build_trainer(config, folder, dual, questions, answers, held_out)
        on_main(lambda: check_same_data(folder, checkpoint, questions, held_out))
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        if trainer.unreadable:
            say(f"{trainer.unreadable} times an image could not be read, and another question trained in its place.")

        def beside(made: Path, facts: Mapping[str, Any]) -> None:
            values = {"answers": answers, "fusion": config.fusion.model_dump()}
            write_whole(made / VQA_HEAD, json.dumps(values, ensure_ascii=False, indent=1) + "\n")
            told = f"{len(questions)} questions, judged on {len(held_out)}"
            write_report(folder, config, {**facts, "examples": told})

        on_main(lambda: keep_best(trainer, config, folder, beside))

    return in_folder(config, work)


def check_config(config: VqaConfig) -> None:
    """Raise AssayError for what a VQA head's training does not have."""
    if config.train.activation_checkpointing:
        raise AssayError("train.activation_checkpointing is not for a VQA head; lower train.batch_size instead.")
    if config.train.quantization or config.train.activation_offloading:
        raise AssayError(
            "train.quantization and train.activation_offloading are not for dual encoders; leave them out."
        )
    if config.fusion.width % config.fusion.heads:
        raise AssayError(f"fusion.heads: {config.fusion.heads} heads do not divide the width {config.fusion.width}.")
    if config.adapter.temperature or config.adapter.projections:
        raise AssayError("A VQA head uses the towers' tokens alone; set adapter.temperature and projections to false.")
    check_trackers(config.train.report_to)
    check_launch()


def read_data(config: VqaConfig) -> tuple[list[Question], list[Question]]:
    """Questions to train on and to judge by; what is left out, shared or cannot be known is said."""
    (questions, told), (held_out, more) = of_both(lambda split: read_questions(getattr(config.data, split), split))
    for sentence in (*told, *more):
        say(sentence)
    known = answers_of(questions)
    say(f"{len(questions)} questions to train on with {len(known)} answers, {len(held_out)} held out")
    words = fed(shape_of(config.model), config.fusion).words
    say_cut(words, questions, "training questions")
    say_limits(words, held_out, known)
    return questions, held_out


def say_cut(words: Words, questions: Sequence[Question], what: str) -> None:
    """Say how many questions are longer than the model takes, and where their ends are cut."""
    if said := words.told_cut([question.text for question in questions], what):
        say(f"{said} (fusion.text_tokens, and no more than the text tower takes)")


def say_limits(words: Words, held_out: Sequence[Question], known: Sequence[str]) -> None:
    """Say how many held-out questions are cut, and how many cannot be answered."""
    say_cut(words, held_out, "held-out questions")
    given = set(known)
    unknown = sum(question.answer not in given for question in held_out)
    say(
        f"{unknown} of {len(held_out)} held-out questions ({unknown / max(1, len(held_out)):.1%}) have an answer that "
        "is never trained, and count as wrong"
    )


def answers_of(questions: Sequence[Question]) -> list[str]:
    """The answers that can be given: those of the training questions, sorted."""
    return sorted({question.answer for question in questions})


def fed(dual: Dual, config: FusionConfig) -> Dual:
    """A dual encoder whose texts are cut to the length of questions."""
    return replace(dual, words=replace(dual.words, length=min(dual.words.length, config.text_tokens)))


def add_head(dual: Dual, config: VqaConfig, answers: int) -> Any:
    """The towers with LoRA, a new fusion and classifier beside them, all of it one PEFT model."""
    from peft import LoraConfig, get_peft_model
    from transformers import set_seed

    set_seed(config.train.seed)
    settings = config.adapter
    lora = LoraConfig(
        r=settings.r,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules="dual\\.(?:" + targets(dual.model, settings) + ")",
        modules_to_save=["fusion", "classifier"],
        use_dora=settings.use_dora,
        use_rslora=settings.use_rslora,
    )
    return get_peft_model(VqaModel(dual.model, config.fusion, answers), lora)


class VqaTrainer(Judging, Trainer):
    """transformers' Trainer with cross-entropy over answers; towers in evaluation mode, three learning rates."""

    def __init__(self, *, config: VqaConfig, judge: Any, folder: RunFolder, **arguments: Any):
        self.judge, self.config, self.unreadable = judge, config, 0
        super().__init__(**arguments)
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            raise AssayError("Dual encoders fit every GPU: launch them with recipes/accelerate/ddp.yaml.")
        self.remove_callback(PrinterCallback)
        self.add_callback(Progress(folder))

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Mean cross-entropy of the true answers."""
        still(self.accelerator.unwrap_model(model).get_base_model().dual)
        self.unreadable += int(inputs.pop("unreadable"))
        labels = inputs.pop("labels")
        scores = model(**inputs)
        loss = nn.functional.cross_entropy(scores.float(), labels)
        return (loss, scores) if return_outputs else loss

    def create_optimizer(self, *_: Any) -> Any:
        """AdamW with the fusion's and the classifier's own rates."""
        rate, fusion = self.args.learning_rate, self.config.fusion
        rates = {"fusion": fusion.fusion_rate * rate, "classifier": fusion.head_rate * rate, "": rate}
        groups: dict[str, list[nn.Parameter]] = {name: [] for name in rates}
        model: Any = self.model
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                groups[next(part for part in rates if f"{part}." in name or not part)].append(parameter)
        made = [{"params": groups[name], "lr": rates[name]} for name in rates if groups[name]]
        self.optimizer = torch.optim.AdamW(made, lr=rate, weight_decay=self.args.weight_decay)
        return self.optimizer


def build_trainer(
    config: VqaConfig,
    folder: RunFolder,
    dual: Dual,
    questions: Sequence[Question],
    answers: Sequence[str],
    held_out: Sequence[Question],
) -> Any:
    """The trainer for a configuration, ready to run."""
    settings = config.train
    batch = settings.batch_size * settings.accumulation * world_size()
    order = training_order([1] * len(questions), math.ceil(settings.epochs), batch, settings.seed)
    order = whole_batches(order[: max(1, round(len(questions) * settings.epochs))], batch)
    arguments = training_arguments(settings, folder, "accuracy")
    rows = QuestionRows(questions, order, answers, dual.preprocess)
    return VqaTrainer(
        config=config,
        judge=judge_of(dual, held_out, answers),
        folder=folder,
        model=on_all(lambda: add_head(dual, config, len(answers))),
        args=arguments,
        train_dataset=rows,
        eval_dataset=torch.utils.data.Subset(rows, [0]),
        data_collator=partial(collate, dual=dual),
    )


def judge_of(dual: Dual, held_out: Sequence[Question], answers: Sequence[str]) -> Callable[[Any], dict[str, float]]:
    """Accuracy of a model in memory on held-out questions, see `judged`; what is left out is said once."""
    told: set[str] = set()

    def judge(model: Any) -> dict[str, float]:
        left = Left()
        figures = judged(model, dual, held_out, answers, left)
        if left.counts and str(left) not in told:
            told.add(str(left))
            say(f"Left out of the held-out questions: {left}.")
        return {name: value for name, value in figures.items() if name != "questions"}

    return judge


def judged(
    model: Any,
    dual: Dual,
    held_out: Sequence[Question],
    answers: Sequence[str],
    left: Left,
    given: dict[int, str] | None = None,
) -> dict[str, float]:
    """Accuracy on the questions whose image can be read, and how many those are: overall, open, closed.

    Args:
        given: is told what is answered to each of those questions.

    Raises:
        AssayError: no image can be read.
    """
    numbers = {answer: number for number, answer in enumerate(answers)}
    device = next(model.parameters()).device
    right: dict[int, bool] = {}
    with torch.inference_mode():
        for start in range(0, len(held_out), 32):
            part = held_out[start : start + 32]
            read = list(read_pixels([question.image for question in part], dual.preprocess, left))
            if not read:
                continue
            batch = collate([row_of(part[at], pixels, numbers) for at, pixels in read], dual)
            del batch["unreadable"]
            labels = batch.pop("labels")
            scores = model(**{key: value.to(device) for key, value in batch.items()}).cpu()
            chosen = scores.argmax(1)
            hits = (chosen == labels).tolist()
            if given is not None:
                given |= {start + at: answers[number] for (at, _), number in zip(read, chosen.tolist(), strict=True)}
            right |= {start + at: hit for (at, _), hit in zip(read, hits, strict=True)}
    if not right:
        raise AssayError(f"None of the held-out images can be read: {left}.")
    figures = {"accuracy": sum(right.values()) / len(right), "questions": float(len(right))}
    for name, closed in (("open", False), ("closed", True)):
        own = [hit for number, hit in right.items() if held_out[number].closed == closed]
        figures |= {f"{name}_accuracy": sum(own) / len(own)} if own else {}
    return figures


def load_head(folder: Path) -> tuple[Any, Dual, list[str]]:
    """A trained model from its adapter's folder, the dual encoder that feeds it, and its answers.

    Raises:
        AssayError: the folder holds no VQA head, or its base is missing.
    """
    from peft import PeftModel

    try:
        values = json.loads((folder / VQA_HEAD).read_text(encoding="utf-8"))
        base = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))["base_model_name_or_path"]
        fusion, answers = FusionConfig(**values["fusion"]), list(values["answers"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AssayError(
            f"{folder} holds no VQA head ({reason(error)}); name the adapter's folder of its run."
        ) from None
    dual = fed(load(base, "cpu"), fusion)
    model = PeftModel.from_pretrained(VqaModel(dual.model, fusion, len(answers)), str(folder))
    return model.eval(), dual, answers


def evaluate(model: str, data: Path, answers_file: Path | None = None) -> dict[str, float]:
    """Accuracy of a trained head on a data set's test part, and how many questions it has; what is left out is said.

    Args:
        answers_file: is written with each answer beside the true one.
    """
    whole, dual, answers = load_head(Path(model))
    held_out, told = read_questions(data, "test")
    for sentence in told:
        say(sentence)
    say_limits(dual.words, held_out, answers)
    left = Left()
    given: dict[int, str] = {}
    figures = judged(whole, dual, held_out, answers, left, given)
    if left.counts:
        say(f"Left out: {left}.")
    if answers_file:
        asked = ((held_out[number], answer) for number, answer in sorted(given.items()))
        rows = (
            {"image": str(q.image), "question": q.text, "closed": q.closed, "answer": answer, "true": q.answer}
            for q, answer in asked
        )
        say(f"Each answer beside the true one: {write_answers(answers_file, rows)}")
    return figures
