"""What a run would train, told without loading it: on the shapes of MedGemma 4B and on the embedded decoder."""

from pathlib import Path

import pytest

from extraction.errors import AssayError
from finetune.cli import app
from finetune.config import load_config
from finetune.preflight import plan, told_batch
from finetune.run import RunFolder
from finetune.sets import checked, told_data

RECIPES = Path(__file__).parents[2] / "recipes" / "lab_report"


def test_medgemma_by_parts():
    made = plan(load_config(RECIPES / "qlora_medgemma.yaml"))
    assert made.parameters == {"language": 3_880_263_168, "vision": 416_866_032, "projector": 2_950_272}
    # 34 layers of seven linear layers; none of the vision tower's, whose projections have the same names.
    assert made.modules == 34 * 7 and made.trained == {"language": 29_802_496, "vision": 0, "projector": 0}
    whole = plan(load_config(RECIPES / "lora_medgemma.yaml"))
    assert whole.trained == made.trained and made.bytes["weights"] < 0.5 * whole.bytes["weights"]


def test_the_largest_batch_for_a_gpu():
    config = load_config(RECIPES / "qlora_medgemma.yaml")
    made = plan(config)
    batch = made.batch_on(80e9, config.train.batch_size)
    with_batch = plan(load_config(RECIPES / "qlora_medgemma.yaml", [f"train.batch_size={batch}"]))
    one_more = plan(load_config(RECIPES / "qlora_medgemma.yaml", [f"train.batch_size={batch + 1}"]))
    assert batch > 1 and sum(with_batch.bytes.values()) <= 0.9 * 80e9 < sum(one_more.bytes.values())
    assert f"train.batch_size={batch} of examples of" in told_batch(made, config, "80GB")
    small = load_config(RECIPES / "lora_medgemma.yaml")
    assert "not even train.batch_size=1 fits" in (told := told_batch(plan(small), small, "8"))
    assert "train.quantization=nf4" in told
    with pytest.raises(AssayError, match="--gpu 24GB"):
        told_batch(made, config, "H200")


def test_modules_that_the_model_does_not_have_are_refused():
    with pytest.raises(AssayError, match=r"adapter\.target_modules"):
        plan(load_config(RECIPES / "demo.yaml", ["adapter.target_modules=.*no_such_proj"]))


def test_a_model_that_is_not_here_is_named():
    with pytest.raises(AssayError, match="some/model"):
        plan(load_config(RECIPES / "demo.yaml", ["model=some/model"]))


def test_a_broken_config_is_not_called_missing(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": ')
    with pytest.raises(AssayError, match="cannot be loaded"):
        plan(load_config(RECIPES / "demo.yaml", [f"model={tmp_path}"]))


def test_data_that_are_neither_there_nor_made_are_refused_together(tmp_path):
    (tmp_path / "training").mkdir()
    changes = ["model=gemma-3-270m", f"data.train={tmp_path}/trainin", f"data.validation={tmp_path}/other"]
    config = load_config(RECIPES / "qlora_medgemma.yaml", changes)
    for work in (told_data, checked):
        with pytest.raises(AssayError, match=r"trainin.*did you mean .*/training.*other.*put the data there"):
            work(config)
    assert "when training starts" in told_data(load_config(RECIPES / "demo.yaml", [
        f"data.train={tmp_path}/a", f"data.validation={tmp_path}/b"]))[0]  # fmt: skip


def test_a_plan_names_a_recipe_that_is_not_there():
    with pytest.raises(AssayError, match="the name lab_repart"):
        plan(load_config(RECIPES / "demo.yaml", ["recipe=lab_repart"]))


def test_a_plan_refuses_the_output_that_training_refuses(tmp_path):
    (tmp_path / "file").write_text("x")
    demo = str(RECIPES / "demo.yaml")
    RunFolder(tmp_path / "run").open(load_config(RECIPES / "demo.yaml", [f"train.output={tmp_path}/run"]))
    places = ("file", "is a file"), ("/proc/x", "cannot be written"), ("", "holds no run"), ("run", "seed was 0, now 1")
    for place, said in places:
        changes = [f"train.output={tmp_path / place}", "train.seed=1"]
        with pytest.raises(AssayError, match=said) as told:
            app(["plan", demo, *changes], standalone_mode=False)
        with pytest.raises(AssayError) as again:
            RunFolder(tmp_path / place).open(load_config(RECIPES / "demo.yaml", changes))
        assert str(told.value) == str(again.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "run"]
