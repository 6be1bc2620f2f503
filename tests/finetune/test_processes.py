"""Two processes on CPU (gloo) train what one trains; a mistake is told once; the launch files are accelerate's own."""

import os
import shutil
import socket
import subprocess
import sys

import pytest
import torch

from extraction.errors import AssayError
from finetune.config import TrainConfig, load_config
from finetune.encode import training_order, whole_batches
from finetune.processes import check_launch
from finetune.run import RunFolder, read_metrics
from finetune.train import common_arguments, go_on, train
from recipes.lab_report.synthetic import write_reports
from tests.conftest import tiny_gemma
from tests.finetune.test_train import DEMO, ROOT, load, losses, settings

LAUNCHES = ROOT / "recipes" / "accelerate"
# A machine without a network has no other address than its own.
ALONE = {"OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo"}


@pytest.fixture(scope="module")
def work(tmp_path_factory, tokenizer):
    folder = tmp_path_factory.mktemp("processes")
    tiny_gemma(1).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    # Ten reports in batches of four: the last batch is not whole.
    write_reports(folder / "train", names=["simple_list"], count=10, seed=5, max_rows=2)
    write_reports(folder / "validation", names=["simple_list"], count=1, seed=6, max_rows=2)
    return folder


def options(work, output, batch):
    exact = {"train.dtype": "float32", "adapter.dropout": 0.0, "evaluate.documents": 1}
    return settings(work, work / output, **exact, **{"train.batch_size": batch, "contract.max_answer_tokens": 8})


def launch(overrides, check=True):
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(LAUNCHES / "ddp.yaml")]
    command += ["-m", "recipes.lab_report", "--config", str(DEMO), *overrides]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | ALONE, capture_output=True, text=True)
    assert not check or done.returncode == 0, done.stderr[-4000:]
    return done


def close(one, two):
    # By the length of a whole tensor: Adam makes a full step of a gradient that is little but rounding.
    return one.keys() == two.keys() and all((one[name] - two[name]).norm() <= 1e-4 * two[name].norm() for name in one)


def test_two_processes_train_what_one_trains_and_go_on_where_they_stopped(work):
    train(load_config(DEMO, options(work, "one", 4)))
    one, expected = load(work / "one" / "adapter"), losses(work / "one")
    assert sorted(expected) == [1, 2, 3]
    assert all(tensor.any() for name, tensor in one.items() if "lora_B" in name)  # there is something to compare

    told = launch(options(work, "two", 2)).stderr
    run = work / "two"
    assert told.count("Reading the data of") == 1 and told.count("Best: ") == 1
    assert losses(run) == pytest.approx(expected, rel=1e-5)
    assert close(load(run / "adapter"), one)
    last = load(run / "checkpoints" / "checkpoint-3")
    assert close(last, load(work / "one" / "checkpoints" / "checkpoint-3"))

    # As a kill after the second step leaves it, in the middle of saving the third.
    shutil.rmtree(run / "adapter")
    (run / "checkpoints" / "checkpoint-3" / "whole.json").unlink()
    again = launch(options(work, "two", 2)).stderr
    assert again.count("Going on from checkpoint-2") == 1
    assert losses(run) == pytest.approx(expected, rel=1e-5)
    assert close(load(run / "checkpoints" / "checkpoint-3"), last)
    assert len(read_metrics(run / "metrics.jsonl")) == len(read_metrics(work / "one" / "metrics.jsonl"))
    # Alone, it would see other examples than those that are left.
    with pytest.raises(AssayError, match="trained by 2 process"):
        go_on(RunFolder(run))


SCRIPT = """
from extraction.errors import AssayError, run_command
from finetune.processes import is_main, on_all, on_main

def fails(here):
    if here:
        raise AssayError("said once")

print(on_main(lambda: ["all", "sent"], others=lambda result: result[1]))
run_command(lambda: on_all(lambda: fails(not is_main())) if ALONE else on_main(lambda: fails(True)))
"""


@pytest.mark.parametrize("alone", [True, False], ids=["in the second process", "in the main one"])
def test_a_mistake_is_told_once_and_ends_all(alone):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_PORT": str(free.getsockname()[1])}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", f"ALONE = {alone}\n{SCRIPT}"],
            cwd=ROOT,
            env=os.environ | ALONE | shared | {"RANK": rank, "LOCAL_RANK": rank},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in ("0", "1")
    ]
    told = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [2, 2]
    assert [out for out, _ in told] == ["['all', 'sent']\n", "sent\n"]
    silent, loud = (told[0][1], told[1][1]) if alone else (told[1][1], told[0][1])
    assert "Error: said once\n" in loud and "said once" not in silent and "Traceback" not in silent + loud


def test_every_batch_is_whole_and_shared_evenly():
    for count, batch in ((10, 4), (3, 8), (8, 4)):
        order = training_order([5] * count, 2, batch, seed=0)
        whole = whole_batches(order, batch)
        assert len(whole) % batch == 0 and len(whole) - len(order) < batch
        assert whole[: len(order)] == order and set(whole) == set(range(count))


def test_a_run_takes_the_cores_that_it_may_use(monkeypatch, tmp_path):
    before = torch.get_num_threads()
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {3, 5, 7}, raising=False)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")  # which it sets
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    try:
        common_arguments(TrainConfig(output=tmp_path), RunFolder(tmp_path), "f1")
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_a_launch_that_would_not_be_what_was_asked_for_is_refused(monkeypatch):
    for name in ("WORLD_SIZE", "ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED"):
        monkeypatch.delenv(name, raising=False)
    check_launch()
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    with pytest.raises(AssayError, match="starts one process"):
        check_launch()
    monkeypatch.delenv("ACCELERATE_USE_CPU")
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    if not torch.cuda.is_available():
        with pytest.raises(AssayError, match="need GPUs"):
            check_launch()


@pytest.mark.parametrize("name", sorted(path.stem for path in LAUNCHES.glob("*.yaml")))
def test_a_launch_file_is_accelerates_own(name, monkeypatch):
    from accelerate.commands import launch as launcher
    from accelerate.commands.config.config_args import load_config_from_file

    path = str(LAUNCHES / f"{name}.yaml")
    asked = load_config_from_file(path)
    parser = launcher.launch_command_parser()
    known = vars(parser.parse_args(["script"]))
    assert set(asked.fsdp_config) | set(asked.deepspeed_config) <= set(known)
    arguments, _, _ = launcher._validate_launch_command(parser.parse_args(["--config_file", path, "script"]))
    assert arguments.num_processes == (1 if name == "one_gpu" else 2)
    if name == "fsdp_qlora":
        check_fsdp(launcher.prepare_multi_gpu_env(arguments), monkeypatch)
    if name == "zero3":
        assert arguments.zero_stage == 3
        try:
            import deepspeed  # noqa: F401
        except ImportError:
            with pytest.raises(ImportError, match="DeepSpeed is not installed"):
                launcher.deepspeed_launcher(arguments)


def test_adapters_are_found_within_fsdp_units(monkeypatch):
    from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
    from peft.tuners import tuners_utils

    from finetune.trainer import find_adapters_in_fsdp_units

    class Unit(torch.nn.Module):
        """As FSDP 1 wraps a layer: its name is in those of the modules, and not in those of the weights."""

        def __init__(self, layer):
            super().__init__()
            self._fsdp_wrapped_module = layer

    model = get_peft_model(tiny_gemma(), LoraConfig(target_modules=["q_proj"]))
    weights, adapter = model.state_dict(), get_peft_model_state_dict(model)
    layers = model.get_base_model().model.layers
    for number, layer in enumerate(layers):
        layers[number] = Unit(layer)
    name = "_get_tuner_state_dict_key_prefixes"
    monkeypatch.setattr(tuners_utils, name, getattr(tuners_utils, name, None), raising=False)
    find_adapters_in_fsdp_units()
    assert get_peft_model_state_dict(model, weights).keys() == adapter.keys()


def check_fsdp(environment, monkeypatch):
    """The settings as FSDP takes them; but for the broadcast of weights, which accelerate prepares on GPUs only."""
    from accelerate import FullyShardedDataParallelPlugin

    for key, value in environment.items():
        if key.startswith("FSDP_"):
            monkeypatch.setenv(key, value)
    monkeypatch.setenv("FSDP_SYNC_MODULE_STATES", "false")
    plugin = FullyShardedDataParallelPlugin()
    assert plugin.fsdp_version == 1 and "FULL_STATE_DICT" in str(plugin.state_dict_type)
    model = tiny_gemma()
    plugin.set_auto_wrap_policy(model)
    assert plugin.auto_wrap_policy.keywords["transformer_layer_cls"] == {type(model.model.layers[0])}
