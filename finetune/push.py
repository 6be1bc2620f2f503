"""A run's adapter to the Hugging Face hub: its weights, its contract, its card and nothing else; private by default."""

from __future__ import annotations

from pathlib import Path

from extraction.contract import FILE as CONTRACT
from extraction.errors import AssayError, reason
from finetune.run import VERSIONS, finished_adapter

# What a served adapter consists of. Data, metrics, reports and checkpoints of the run are never among it.
SENT = ("README.md", CONTRACT, VERSIONS, "adapter_config.json", "adapter_model.safetensors")


def sent_files(run: Path) -> list[Path]:
    """The files that would be sent.

    Raises:
        AssayError: see `finished_adapter`; or it is of another kind.
    """
    adapter = finished_adapter(run)
    if missing := [name for name in SENT if not (adapter / name).is_file()]:
        raise AssayError(
            f"{adapter} is no adapter of a task as a run leaves it: {' and '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not there."
        )
    return [adapter / name for name in SENT]


def check_name(repo: str) -> None:
    """Raise AssayError where a repository of the hub cannot be called so."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise AssayError(f"{repo} is no name of a repository (USER/NAME): {reason(error)}") from None


def push(run: Path, repo: str, public: bool = False) -> str:
    """Send a run's adapter to a repository of models, which is made where there is none; its address.

    Raises:
        AssayError: see `sent_files` and `check_name`; the repository is public and that was not said; or the hub
            refuses.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    files = sent_files(run)
    check_name(repo)
    api = HfApi()
    try:
        address = str(api.create_repo(repo, private=not public, exist_ok=True))
        if not public and not api.model_info(repo).private:
            raise AssayError(f"{repo} is public already; say --public if the adapter is meant for everybody.")
        api.upload_folder(
            repo_id=repo, folder_path=files[0].parent, allow_patterns=list(SENT), commit_message="Adapter by Assay"
        )
    except (HfHubHTTPError, OSError) as error:
        raise AssayError(
            f"The hub did not take {repo}: {reason(error)} Log in with `hf auth login` and a token that may write."
        ) from None
    return address
