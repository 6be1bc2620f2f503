"""SFTTrainer with five changes: it judges by reading, weighs every trained token alike, marks whole checkpoints,
reports in plain lines, and computes the loss of the answer alone, at the cost of the answer alone, without Triton
(`answer_loss.py`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peft.tuners import tuners_utils
from safetensors import safe_open
from tqdm import tqdm
from transformers import TrainerCallback
from transformers.trainer_callback import PrinterCallback
from transformers.trainer_utils import IntervalStrategy
from trl import SFTTrainer

from extraction.errors import AssayError
from finetune.answer_loss import PILOT, add_answer_loss
from finetune.config import BaseConfig
from finetune.encode import IGNORED
from finetune.memory import peak
from finetune.page import write_report
from finetune.processes import on_main, say, together
from finetune.run import RunFolder, mark_whole, versions


class Judging:
    """What a trainer of transformers becomes that judges by a metric of its own, and marks whole checkpoints."""

    judge: Callable[[Any], dict[str, Any]] | None

    def evaluate(self: Any, *_: Any, **__: Any) -> dict[str, float]:
        """Judge on the main process; every process gets the figures."""
        metrics: dict[str, float] = on_main(self._judge)
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _judge(self: Any) -> dict[str, float]:
        assert self.judge is not None
        model = self.accelerator.unwrap_model(self.model)
        was_training = model.training
        model.eval()
        figures = {f"eval_{key}": value for key, value in self.judge(model).items()}
        model.train(was_training)
        return figures

    def _save_checkpoint(self: Any, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)  # type: ignore[misc]
        together()  # every process writes a file of its own
        if self.is_world_process_zero():
            folder = Path(str(self.args.output_dir)) / f"checkpoint-{self.state.global_step}"
            with safe_open(folder / "adapter_model.safetensors", "pt") as adapter:
                if not adapter.keys():
                    raise AssayError(
                        f"{folder} holds no weights of the adapter: these versions of peft and FSDP clash."
                    )
            mark_whole(folder)

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """No model card per checkpoint: TRL's looks things up on the hub."""


class FieldTrainer(Judging, SFTTrainer):
    """Chooses the best checkpoint by what the model reads from held-out data, not by loss.

    Args:
        judge: figures of a model on held-out data, on the main process; `metric_for_best_model` names the one that
            decides.
        folder: the run's folder, for metrics.
        arguments: SFTTrainer's own.
    """

    def __init__(
        self,
        *,
        judge: Callable[[Any], dict[str, Any]] | None,
        folder: RunFolder,
        **arguments: Any,
    ):
        self.judge = judge
        super().__init__(**arguments)
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            # Every process holds a part of the weights, and decoding asks the model by ways that do not gather them.
            self.args.eval_strategy = IntervalStrategy.NO
            say("The weights are shared out: held-out documents are not read, and the last checkpoint is kept.")
        if self.is_fsdp_enabled:
            find_adapters_in_fsdp_units()
        base = self.accelerator.unwrap_model(self.model).get_base_model()
        keep_gradients(base)
        # With Triton, TRL's own fused head is as frugal.
        self.own_loss = self.args.device.type == "cpu" and not base.get_output_embeddings().weight.requires_grad
        if self.own_loss:
            dataset = arguments["train_dataset"]
            words: set[int] = set().union(*dataset["input_ids"])
            usual = sorted(range(len(dataset)), key=lambda place: len(dataset[place]["input_ids"]))[len(dataset) // 2 :]
            batches = (self.data_collator([dataset[place]]) for place in usual[:PILOT])
            with self.accelerator.autocast():
                add_answer_loss(base, torch.tensor(sorted(words)), batches)
        trained = sum(label != IGNORED for labels in arguments["train_dataset"]["labels"] for label in labels)
        steps = len(arguments["train_dataset"]) / (self.args.train_batch_size * self.args.gradient_accumulation_steps)
        self.usual_tokens = max(1.0, trained / steps * self.accelerator.num_processes)
        self.remove_callback(PrinterCallback)
        self.add_callback(Progress(folder))

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Negative log-likelihood of the answers' tokens, over the number that a step usually trains.

        A mean over the step's own tokens, as transformers takes it, gives the five tokens of an empty list the
        weight of hundreds wherever such pages meet in a batch; measured on documents, a decoder that read every row
        still answered after 400 steps that there was none.
        """
        if num_items_in_batch is not None:
            num_items_in_batch = self.usual_tokens
        rest = {key: value for key, value in inputs.items() if key != "labels"}
        if self.own_loss:
            log_probs = model(**rest, use_cache=False, answer_labels=inputs["labels"])
            outputs, trained = None, log_probs.numel()
        else:
            # Without TRL's account of entropy and tokens: it waits for the GPU at every batch, and counts tokens by a
            # mask that is a tensor, which that of branches is not.
            outputs = model(**rest, labels=inputs["labels"], use_cache=False, fused_lm_head=True)
            log_probs, trained = outputs.log_probs, outputs.label_mask.sum()
        count = num_items_in_batch if num_items_in_batch is not None else trained
        # DDP averages gradients over processes; `num_items_in_batch` already counts the tokens of all of them.
        share = self.accelerator.num_processes if num_items_in_batch is not None else 1
        loss = -log_probs.sum() / torch.as_tensor(count).clamp(min=1) * share
        return (loss, outputs) if return_outputs else loss


def spoken(metric: str) -> str:
    """A metric's name for people."""
    return {"eval_micro_f1": "F1"}.get(metric, metric.removeprefix("eval_"))


def keep_gradients(model: Any) -> None:
    """Let a model in 4 bits be read with between two steps of its training on a CPU.

    Where the processor has bfloat16 of its own, bitsandbytes 0.50 packs the weights for inference at the first pass
    without gradients, for good; the passes of training then go through packed weights, which hand no gradient on and
    raise nothing.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def find_adapters_in_fsdp_units() -> None:
    """Mend PEFT 0.21, which looks for adapters by names that FSDP 1 takes out of the weights it hands over.

    It strips the mark of a unit from the front of a module's name only, so that all adapters of a decoder that is
    wrapped layer by layer are missed, and an empty file is saved.
    """
    prefixes = getattr(tuners_utils, "_get_tuner_state_dict_key_prefixes", None)
    if prefixes is None:
        return

    def clean(*args: Any, **kwargs: Any) -> set[str]:
        return {prefix.replace("_fsdp_wrapped_module.", "") for prefix in prefixes(*args, **kwargs)}

    tuners_utils._get_tuner_state_dict_key_prefixes = clean


class Progress(TrainerCallback):
    """A bar with the time left, and metrics as JSON lines."""

    def __init__(self, folder: RunFolder):
        self._folder = folder
        self._bar: Any = None
        self._start = time.time()

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Open the bar where training begins or goes on; seconds go on counting."""
        self._start = time.time() - self._folder.seconds()
        if state.is_world_process_zero:
            self._bar = tqdm(
                total=state.max_steps, initial=state.global_step, desc="training", unit="step", disable=None
            )

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Move the bar; judge and keep the last step too, whatever the steps between checkpoints."""
        if self._bar:
            self._bar.update(state.global_step - self._bar.n)
        if state.global_step >= state.max_steps:
            control.should_evaluate = args.eval_strategy != IntervalStrategy.NO
            control.should_save = True

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Write a line of metrics; show loss and F1 on the bar."""
        if not logs or not state.is_world_process_zero or "train_runtime" in logs:
            return
        seconds = round(time.time() - self._start, 1)
        if not math.isfinite(float(logs.get("loss", 0.0))):
            raise AssayError(
                f"The loss is no number any more at step {state.global_step}: the run diverged. Lower "
                "train.learning_rate (1e-4 to 2e-4 suit most runs) or lengthen train.warmup, and choose another "
                "train.output: this one's last checkpoint may be spoilt."
            )
        self._folder.append_metrics({"step": state.global_step, "seconds": seconds, **logs})
        if (metric := args.metric_for_best_model) in logs:
            self._bar.write(f"step {state.global_step}: held-out {spoken(metric)} {logs[metric]:.3f}")
        elif shown := next((name for name in ("reward", "loss") if logs.get(name) is not None), None):
            self._bar.set_postfix({shown: f"{float(logs[shown]):.3f}"})

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Close the bar."""
        if self._bar:
            self._bar.close()


class Report(TrainerCallback):
    """Keeps a run's `report.html` whole, from its first moment on and after every line of its metrics, so that one that
    runs or was stopped has it.

    Comes behind `Progress`, which writes the line.
    """

    def __init__(self, folder: RunFolder, config: BaseConfig):
        self._folder, self._config = folder, config

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Write the page: the first line of metrics may be an hour away, behind a reading of held-out data."""
        self._write(state)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Write the page anew."""
        self._write(state)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Write it again: a checkpoint is written behind its evaluation, and may be the best."""
        self._write(state)

    def _write(self, state: Any) -> None:
        if state.is_world_process_zero:
            best = state.best_model_checkpoint
            facts = {"checkpoint": Path(best).name if best else None, "versions": versions(), "peak_bytes": peak()}
            write_report(self._folder, self._config, facts)
