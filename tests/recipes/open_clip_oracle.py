"""`python -m tests.recipes.open_clip_oracle MODEL IMAGE...`: how far our vectors are from open_clip's.

torchvision's operators are declared before it is imported: a build for GPUs lacks them beside a torch for CPUs.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

SIZES = {"img_size": 32, "patch_size": 8, "embed_dim": 64, "depth": 2, "num_heads": 1}


def vit_tiny_test(pretrained=False, **options):
    """A vision tower as timm makes it, of the tiny model's sizes."""
    from timm.models.vision_transformer import VisionTransformer

    known = {name: options[name] for name in ("num_classes", "global_pool") if name in options}
    model = VisionTransformer(**{**SIZES, **known})
    model.default_cfg = model.pretrained_cfg = {}
    return model


def main():
    folder, images = Path(sys.argv[1]), sys.argv[2:]
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    try:
        import open_clip
        from open_clip.transform import PreprocessCfg, image_transform_v2
        from timm.models import register_model
    except ImportError as error:
        print(error)
        sys.exit(77)
    from recipes.contrastive.load import encode_pixels, encode_texts, load

    config = json.loads((folder / "open_clip_config.json").read_text())
    dual = load(str(folder))
    vit_tiny_test.__module__ = "timm.models.vision_transformer"
    register_model(vit_tiny_test)
    dual.model.text.config.save_pretrained(folder / "text")
    text = {**config["model_cfg"]["text_cfg"], "hf_model_name": str(folder / "text"), "hf_model_pretrained": False}
    vision = {**config["model_cfg"]["vision_cfg"], "timm_model_name": "vit_tiny_test"}
    model = open_clip.CustomTextCLIP(config["model_cfg"]["embed_dim"], vision_cfg=vision, text_cfg=text)
    model.load_state_dict(load_file(folder / "open_clip_model.safetensors"), strict=True)
    model.eval()
    settings = PreprocessCfg(size=32, **config["preprocess_cfg"])
    preprocess = image_transform_v2(settings, is_train=False)
    tokens = open_clip.tokenizer.HFTokenizer(str(folder), context_length=32)
    texts = json.loads((folder / "texts.json").read_text())
    pictures = [Image.open(image) for image in images]
    theirs = torch.stack([preprocess(picture) for picture in pictures])
    ours = torch.tensor(np.stack([dual.preprocess.pixels(picture.convert("RGB")) for picture in pictures]))
    with torch.no_grad():
        print(
            float((dual.preprocess.normalise(ours) - theirs).abs().max()),
            float((encode_pixels(dual, ours) - model.encode_image(theirs, normalize=True)).abs().max()),
            float((encode_texts(dual, texts) - model.encode_text(tokens(texts), normalize=True)).abs().max()),
            abs(float(dual.model.temperature.scale - model.logit_scale)),
        )


if __name__ == "__main__":
    main()
