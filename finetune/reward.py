"""Reinforcement with the task's own metric: TRL's GRPOTrainer, whose answers this project's engine writes.

The model answers each question several times; an answer that is worth more than the others to its question becomes
more probable (GRPO, arXiv 2402.03300; the loss as in DAPO, arXiv 2503.14476, which is TRL's default). Answers are drawn
as they are served: behind a prompt that is read once for all of them, under the grammar of the answer's schema where
that is wanted, and read into records by the same code. Tokens that the grammar left no choice about are not trained.
"""

from __future__ import annotations

import itertools
import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import Trainer
from transformers.trainer_callback import PrinterCallback
from trl import GRPOConfig, GRPOTrainer

from extraction.api import Extractor
from extraction.contract import Contract
from extraction.errors import AssayError
from extraction.example import Example
from extraction.families import Family
from extraction.generate import LocalBackend
from extraction.generate.hub import quiet_libraries
from extraction.reading import record_of
from extraction.record.record import Record
from finetune.adapter import load_trainable
from finetune.config import RewardConfig, RunConfig
from finetune.data import divide
from finetune.details import judged
from finetune.encode import fits
from finetune.processes import on_all, on_main, say, world_size
from finetune.run import RunFolder
from finetune.sets import checked, make_synthetic, read_sets, told_sets
from finetune.task import Task, rewarded
from finetune.train import common_arguments, in_folder, keep_with_pages
from finetune.trainer import Judging, Progress, Report, keep_gradients


def reward(config: RunConfig) -> Path:
    """Run, or go on with, the reinforcement that `config` describes; what it leaves is what a training leaves.

    Returns:
        The folder of the finished adapter: the checkpoint that did best on held-out data.

    Raises:
        AssayError: wrong data, model, settings or output folder; nothing is half-written.
    """
    quiet_libraries()
    assert config.reward is not None
    check_settings(config, config.reward)
    task, contract, family = on_all(lambda: checked(config))

    def work(folder: RunFolder, checkpoint: Path | None) -> None:
        on_main(lambda: make_synthetic(config, task))
        train, held_out = on_all(lambda: read_sets(config, task, contract, family))
        asked = on_all(lambda: questions(config, train, contract, family))
        trainer = RewardTrainer(config, task, contract, family, asked, held_out, folder, first=checkpoint is None)
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        keep_with_pages(trainer, config, folder, contract, told_sets(task, train, held_out))

    return in_folder(config, work)


def check_settings(config: RunConfig, settings: RewardConfig) -> None:
    """Refuse a batch that does not hold whole groups of answers, and weights in more than one place.

    Raises:
        AssayError: see above.
    """
    batch = config.train.batch_size * config.train.accumulation * world_size()
    if batch % settings.generations:
        raise AssayError(
            f"A step has {batch} answers (train.batch_size, accumulation, devices), which is no multiple of "
            f"reward.generations={settings.generations}; change one of them."
        )
    if any(os.environ.get(f"ACCELERATE_USE_{name}") in ("true", "True", "1") for name in ("FSDP", "DEEPSPEED")):
        raise AssayError(
            "assay reward decodes with the whole model on each device, and FSDP and DeepSpeed share it out; use one "
            "device or recipes/accelerate/ddp.yaml, with train.quantization=nf4 where memory is short."
        )


def questions(config: RunConfig, train: Sequence[Example], contract: Contract, family: Family) -> list[Example]:
    """What is asked: each branch, of a long document each window, as an example of its own.

    Raises:
        AssayError: one shows images, or has no room for an answer.
    """
    fit, most = fits(contract, family, contract.max_prompt_tokens), config.data.max_length
    parts = (part for example in train for part in divide(example, contract, fit))
    asked = [Example(part.context, (branch,)) for part in parts for branch in part.branches]
    for one in asked:
        prompt = family.render(contract.messages(one.context.parts, one.branches[0].parts))
        if prompt.images:
            raise AssayError(
                f"{one.context.name} shows images, and assay reward trains on text alone so far; set "
                "contract.view=text, or train it by assay train."
            )
        if len(prompt.ids) + contract.max_answer_tokens > most:
            raise AssayError(
                f"{one.context.name} takes {len(prompt.ids)} tokens, with an answer of "
                f"contract.max_answer_tokens={contract.max_answer_tokens} more than data.max_length={most}; raise it, "
                "or lower contract.max_answer_tokens."
            )
    return asked


def weights_of(settings: RewardConfig, task: Task, contract: Contract, example: Example) -> Mapping[str, float]:
    """What counts, by name; that the task can tell it is tried on a true answer.

    Raises:
        AssayError: an unknown name, or the task's own error.
    """
    truth = Record(example.context.name, "ok", example.branches[0].gold)
    known = rewarded(task, contract, example, truth)
    weights = settings.weights or task.reward_weights
    if unknown := [name for name in weights if name not in known]:
        raise AssayError(
            f"reward.weights: the recipe {task.name} has no reward {unknown[0]}; it has {', '.join(known)}."
        )
    return weights


class RewardTrainer(Judging, GRPOTrainer):
    """GRPOTrainer with this project's engine, grader and judgement.

    Args:
        asked: examples of one branch.
        first: whether the run begins, so that the model is judged before its first step.
    """

    def __init__(
        self,
        config: RunConfig,
        task: Task,
        contract: Contract,
        family: Family,
        asked: Sequence[Example],
        held_out: Sequence[Example],
        folder: RunFolder,
        first: bool,
    ):
        assert config.reward is not None
        self.settings, self.task, self.contract, self.family, self.asked = config.reward, task, contract, family, asked
        weights = on_all(lambda: weights_of(self.settings, task, contract, asked[0]))
        say(f"{len(asked)} questions; an answer is worth " + ", ".join(f"{w:g} x {n}" for n, w in weights.items()))
        os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"  # of rollout_func
        logging.getLogger("trl").setLevel(logging.ERROR)
        warnings.filterwarnings("ignore", category=FutureWarning)

        def judge(model: Any) -> dict[str, float]:
            extractor = Extractor(LocalBackend(model, family.tokenizer, rows=config.evaluate.rows), contract)
            return judged(extractor, task, held_out, folder, self.state.global_step)

        self.judge = judge
        # A number in the place of each prompt: trackers and logs get no text of a document.
        numbers = Dataset.from_dict({"prompt": [str(number) for number in range(len(asked))]})
        arguments = common_arguments(config.train, folder, task.metric)
        super().__init__(
            model=on_all(lambda: load_trainable(config)),
            reward_funcs=[_part(name) for name in weights],
            args=GRPOConfig(
                **arguments,
                num_train_epochs=config.train.epochs,
                eval_on_start=first,
                num_generations=self.settings.generations,
                max_completion_length=contract.max_answer_tokens,
                temperature=self.settings.temperature,
                beta=self.settings.beta,
                reward_weights=list(weights.values()),
            ),
            processing_class=family.tokenizer,
            train_dataset=numbers,
            eval_dataset=numbers.select([0]),
            rollout_func=_rollout,
        )
        keep_gradients(self.accelerator.unwrap_model(self.model).get_base_model())
        self.remove_callback(PrinterCallback)
        self.add_callback(Progress(folder))
        self.add_callback(Report(folder, config))

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Figures of answers go with those of training, not with those on held-out data."""
        if any(name.startswith("eval_") for name in logs):
            Trainer.log(self, logs, start_time)
        else:
            super().log(logs, start_time)

    def answers(self, numbers: Sequence[str]) -> dict[str, list[Any]]:
        """Answers to questions by their numbers, equal ones side by side; see TRL's `rollout_func`."""
        groups = [(self.asked[int(number)], len(list(own))) for number, own in itertools.groupby(numbers)]
        step = self.args.seed * 1_000_003 + self.state.global_step  # a run that goes on draws what it would have drawn
        backend = LocalBackend(
            self.accelerator.unwrap_model(self.model),
            self.family.tokenizer,
            temperature=self.settings.temperature,
            seed=step * world_size() + self.accelerator.process_index,
        )
        made: dict[str, list[Any]] = {"prompt_ids": [], "completion_ids": [], "env_mask": [], "rewards": []}
        samples = backend.samples(groups, self.contract, free=not self.settings.grammar)
        for (example, _), own in zip(groups, samples, strict=True):
            ids = self.family.render(self.contract.messages(example.context.parts, example.branches[0].parts)).ids
            for sample in own:
                record = record_of(example, sample.generation, self.contract)
                made["prompt_ids"].append(list(ids))
                made["completion_ids"].append(sample.tokens)
                made["env_mask"].append([int(chosen) for chosen in sample.chosen])
                made["rewards"].append(rewarded(self.task, self.contract, example, record))
        return made

    def _get_per_token_logps_and_entropies(self, model: Any, input_ids: Any, *args: Any, **kwargs: Any) -> Any:
        if self.family.sees:  # such a model asks in training which tokens are an image's; none is
            kwargs[self.family.token_types] = torch.zeros_like(input_ids)
        return super()._get_per_token_logps_and_entropies(model, input_ids, *args, **kwargs)


def _rollout(prompts: Sequence[str], trainer: Any) -> dict[str, Any]:
    model = trainer.accelerator.unwrap_model(trainer.model)
    was_training = model.training
    model.eval()
    made = trainer.answers(prompts)
    model.train(was_training)
    return {**made, "logprobs": None}


def _part(name: str) -> Any:
    """TRL's reward function for one of the task's rewards, which came with the answers."""

    def part(prompts: Any, completions: Any, rewards: Sequence[Mapping[str, float]], **_: Any) -> list[float]:
        return [own[name] for own in rewards]

    part.__name__ = name
    return part
