"""`python -m recipes.contrastive.unpickle FOLDER`: a published pickle of weights as safetensors, once.

Nothing else here reads pickles. torch's reader for weights alone makes tensors and runs no code of the file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from extraction.errors import AssayError, reason, run_command


def unpickle(folder: Path) -> Path:
    """Write the one `*.bin` of a folder as `.safetensors` beside it.

    Raises:
        AssayError: there is none, several, or it holds more than tensors.
    """
    import torch
    from safetensors.torch import save_file

    files = sorted(folder.glob("*.bin"))
    if len(files) != 1:
        raise AssayError(f"{folder} holds {len(files)} files *.bin; one is wanted.")
    try:
        state = torch.load(files[0], map_location="cpu", weights_only=True)
    except Exception as error:
        raise AssayError(f"{files[0]} holds more than weights, or is damaged: {reason(error)}") from None
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise AssayError(f"{files[0]} is no state dict: it holds more than named tensors.")
    out = files[0].with_suffix(".safetensors")
    partial = out.with_suffix(".tmp")
    save_file({name: tensor.clone().contiguous() for name, tensor in state.items()}, partial, {"format": "pt"})
    partial.replace(out)
    return out


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m recipes.contrastive.unpickle", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of the model")
    folder = parser.parse_args().folder
    run_command(lambda: print(f"Written: {unpickle(folder)}"))


if __name__ == "__main__":
    main()
