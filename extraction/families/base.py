"""Family: all that hangs on a model's architecture, in one object."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from extraction.errors import AssayError
from extraction.example import ImagePart

if TYPE_CHECKING:
    import torch
    from PIL import Image

Message = dict[str, Any]
"""A turn as chat templates take it: `{"role": "user", "content": [{"type": "text", "text": ...}, {"type": "image",
"image": ImagePart}]}`."""


# Prompts that are kept: as many as stand beside each other behind one context (`decode.SHARED_ROWS`), and some.
_RECENT = 64


@dataclass(frozen=True)
class Prompt:
    """A rendered prompt.

    Attributes:
        ids: its tokens, BOS and the opening of the model's turn included.
        images: what it shows, in order.
        places: for each image, its tokens in `ids`, from its first image token to its last.
    """

    ids: list[int]
    images: tuple[ImagePart, ...] = ()
    places: tuple[slice, ...] = ()


class Family:
    """What differs between architectures, for one model and its tokenizer.

    A file in this folder derives one and names it `FAMILY`. What is here holds for a decoder of text alone.

    Class attributes:
        model_types: of the configs that are of this family.
        control: regular expression of the control tokens of its turn format: in a document they would give the page a
            voice, so the contract disarms those of all families.
        thinking: what opens and closes thoughts before an answer; None for families that do not think.
        towers: the parts that see, and the piece of a module's name that tells them
            (`{"vision": "vision_tower", "projector": "multi_modal_projector"}`). They stay out of 4 bits.
        tower_layers: regular expression over the names of the vision tower's linear layers (what LoRA adapts there).
        projection: the projector for LoRA: options of PEFT's LoraConfig, `target_parameters` or `target_modules`.
        marker: what a chat template writes for an image.
        image_tokens, image_ids: of the tokens that begin an image, make it and end it: their texts, and the names under
            which the model's config has their ids.
        inputs: what `forward` takes for images.
        token_types: the argument of `forward` that marks image tokens where it makes its masks and positions itself.
        axes: how many rotary positions a token has.
        features_once: whether what the tower makes of an image can be given to `forward` in the pixels' place
            (`mm_encoder_outputs`).

    Attributes:
        end: id of the token that ends an answer in training: what the chat template puts behind an assistant's text.
        stop: ids that end an answer in serving.
        soft: id of the tokens that images are made of; None for a model that sees nothing.
        marks: ids of all tokens that belong to images.
    """

    model_types: ClassVar[tuple[str, ...]] = ()
    control: ClassVar[str] = ""
    thinking: ClassVar[tuple[str, str] | None] = None
    towers: ClassVar[Mapping[str, str]] = {}
    tower_layers: ClassVar[str] = ""
    projection: ClassVar[Mapping[str, list[str]]] = {}
    marker: ClassVar[str] = ""
    image_tokens: ClassVar[tuple[str, str, str]]
    image_ids: ClassVar[tuple[str, str, str]] = ("boi_token_id", "image_token_id", "eoi_token_id")
    inputs: ClassVar[tuple[str, ...]] = ("pixel_values",)
    token_types: ClassVar[str] = "mm_token_type_ids"
    axes: ClassVar[int] = 1
    features_once: ClassVar[bool] = False
    # Whether `forward` takes a mask for each kind of layer also where there is only one kind.
    masks_by_kind: ClassVar[bool] = False
    # Other parts of a model that are neither the language model nor adapted, by a piece of their modules' names.
    idle: ClassVar[tuple[str, ...]] = ()

    processor: Any

    def __init__(self, config: Any, tokenizer: Any, name: str = ""):
        self.config, self.tokenizer = config, tokenizer
        self.name = name or getattr(config, "_name_or_path", "") or "This model"
        self._recent: dict[Any, Prompt] = {}
        self._head: tuple[str, list[int]] = "", []
        self.soft: int | None = None
        self.marks: frozenset[int] = frozenset()
        if getattr(config, "vision_config", None) is not None:
            self._open_images()

    @classmethod
    def check_config(cls, config: Any, name: str) -> None:
        """Raise AssayError where a model of this architecture has parts that the family cannot use."""

    def _open_images(self) -> None:
        """Set `soft` and `marks` where the tokenizer's image tokens have the ids that the model's config says.

        Raises:
            AssayError: the tokenizer belongs to another model, or the attention that the model was loaded with cannot
                be given a mask.
        """
        own = self.tokenizer.convert_tokens_to_ids(list(self.image_tokens))
        ids = [getattr(self.config, name) for name in self.image_ids]
        if own != ids:
            raise AssayError(
                f"The tokenizer does not belong to {self.name}: its tokens for images have the ids "
                f"{', '.join(map(str, own))}, the model's are {', '.join(map(str, ids))}; take the tokenizer from the "
                "model's own folder."
            )
        if "flash" in str(getattr(self.config, "_attn_implementation", None) or ""):
            raise AssayError(
                "FlashAttention leaves out the part of the mask that images need; load the model with sdpa or eager."
            )
        self.soft, self.marks = ids[1], frozenset(ids)

    @property
    def text(self) -> Any:
        """The language model's config."""
        return self.config.get_text_config()

    @property
    def sees(self) -> bool:
        """Whether the model can be shown images."""
        return self.soft is not None

    def check_sees(self) -> None:
        """Raise AssayError where the model reads text alone."""
        if not self.sees:
            raise AssayError(
                f"{self.name} reads text alone, and is to be shown images; take a model with a vision tower "
                "(google/medgemma-1.5-4b-it), or for documents contract.view=text."
            )

    @classmethod
    def language(cls) -> str:
        """Regular expression over the names of the language model's linear layers (what LoRA adapts)."""
        others = "|".join((*cls.towers.values(), *cls.idle))
        besides = f"(?!.*(?:{others}))" if others else ""
        return rf"{besides}.*layers\.\d+\.(self_attn|mlp)\.(q|k|v|o|gate|up|down)_proj"

    @classmethod
    def part_of(cls, name: str) -> str:
        """Which part of a model a module or parameter belongs to: a name of `towers`, or `language`."""
        return next((part for part, piece in cls.towers.items() if piece in name), "language")

    @cached_property
    def end(self) -> int:
        """See the class."""
        said = "ANSWER"
        turns = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": said}]
        text = self.tokenizer.apply_chat_template(turns, tokenize=False, enable_thinking=False)
        after = self.encode(text.rpartition(said)[2].lstrip())
        return int(after[0]) if after else int(self.tokenizer.eos_token_id)

    @cached_property
    def stop(self) -> tuple[int, ...]:
        """See the class."""
        ids = {self.end, self.tokenizer.eos_token_id}
        for config in (self.config, self.text):
            eos = getattr(config, "eos_token_id", None)
            ids |= set(eos) if isinstance(eos, list) else {eos}
        return tuple(sorted(ids - {None}))

    def render(self, messages: Sequence[Message]) -> Prompt:
        """Token ids of a prompt; the only way prompts are made, in training and in serving.

        The last ones are kept: what was counted is soon asked, and a volume's prompt has tens of thousands of tokens.

        Raises:
            AssayError: images for a model that reads text alone, or a text that holds what stands for an image.
        """
        key = tuple((m["role"], *_items(m["content"])) for m in messages)
        prompt = self._recent.pop(key, None) or self._render(messages)
        self._recent[key] = prompt
        if len(self._recent) > _RECENT:
            self._recent.pop(next(iter(self._recent)), None)
        return prompt

    def _render(self, messages: Sequence[Message]) -> Prompt:
        contents = [m["content"] for m in messages if not isinstance(m["content"], str)]
        images = tuple(item["image"] for content in contents for item in content if item["type"] == "image")
        if images:
            self.check_sees()
        turns = list(messages) if images else [{**m, "content": _plain(m["content"])} for m in messages]
        text = self.tokenizer.apply_chat_template(
            turns, add_generation_prompt=True, tokenize=False, enable_thinking=False
        )
        if not self.sees:
            return Prompt(self.encode(text))
        before, *after = text.split(self.marker)
        if len(after) != len(images):
            raise AssayError(f"{self.marker} stands for an image; take it out of the instruction.")
        shown = map(self.image_text, images)
        # Tokenised once, after the images are in: their line breaks join those around them.
        whole = before + "".join(image + piece for image, piece in zip(shown, after, strict=True))
        # A token of its own ends an image, so what stands before it and behind are tokenised alike apart; questions on
        # one context differ behind its images.
        stop = whole.rindex(self.image_tokens[2]) + len(self.image_tokens[2]) if images else 0
        if (head := self._head)[0] != whole[:stop]:
            head = self._head = whole[:stop], self.encode(whole[:stop])
        ids = head[1] + self.encode(whole[stop:])
        return Prompt(ids, images, self._places(ids, images))

    def _places(self, ids: Sequence[int], images: Sequence[ImagePart]) -> tuple[slice, ...]:
        blocks: list[list[int]] = []
        for place, token in enumerate(ids):
            if token == self.soft:
                if blocks and blocks[-1][1] == place:
                    blocks[-1][1] += 1
                else:
                    blocks.append([place, place + 1])
        found, at = [], 0
        for image in images:
            count = self.blocks(image)
            found.append(slice(blocks[at][0], blocks[at + count - 1][1]))
            at += count
        return tuple(found)

    def count(self, messages: Sequence[Message]) -> int:
        """The length of a prompt in tokens, without drawing its images."""
        return len(self.render(messages).ids)

    def encode(self, text: str) -> list[int]:
        """Tokens of an answer's text."""
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def image_text(self, image: ImagePart) -> str:
        """What takes the marker's place in a prompt."""
        raise NotImplementedError

    def blocks(self, image: ImagePart) -> int:
        """How many stretches of image tokens an image takes: one, and one for each crop."""
        return 1

    def pictures(self, image: ImagePart) -> list[Image.Image]:
        """An image as it is kept for training: one picture for each of its `blocks`; `pixels` takes them.

        Raises:
            DocumentError: it cannot be drawn.
        """
        return [image.draw()]

    def pixels(self, pictures: Sequence[Image.Image]) -> dict[str, torch.Tensor]:
        """The model's inputs for pictures: its `inputs`, as the image processor makes them."""
        made = self.processor(list(pictures), return_tensors="pt")
        return {name: made[name] for name in self.inputs}

    def positions(self, ids: Sequence[int], sizes: Sequence[tuple[int, int]]) -> torch.Tensor | None:
        """Rotary positions [axes, length] of a sequence; None where each token has the number of its place.

        Args:
            ids: tokens, from the beginning.
            sizes: width and height of the pictures that they show, in order.
        """
        return None

    @cached_property
    def windows(self) -> dict[str, int | None]:
        """How far back the layers of each kind see, in tokens; None: as far as there are any."""
        kinds = getattr(self.text, "layer_types", None) or ()
        sliding = {"sliding_attention": self.text.sliding_window} if "sliding_attention" in kinds else {}
        return {"full_attention": None, **sliding}

    @property
    def opened(self) -> Collection[str]:
        """Kinds of layers in which a token of an image also sees what follows it in the image."""
        return ()

    def masks(self, by_kind: Mapping[str, Any]) -> Any:
        """What `forward` takes for `attention_mask`, of masks by kind of layer."""
        return dict(by_kind) if self.masks_by_kind or len(by_kind) > 1 else by_kind["full_attention"]

    def features(self, made: Sequence[torch.Tensor]) -> Any:
        """What `forward` takes for the features [tokens, size] of images, in order."""
        return list(made)


def _items(content: str | Sequence[Mapping[str, Any]]) -> Iterator[Any]:
    """What a turn is, to be compared."""
    if isinstance(content, str):
        yield content
    else:
        yield from ((item["type"], item[item["type"]]) for item in content)


def _plain(content: str | Sequence[Mapping[str, Any]]) -> str:
    """A turn's text."""
    return content if isinstance(content, str) else "".join(item["text"] for item in content)


def own_processor(cls: Any, config: Any, **settings: Any) -> Any:
    """The image processor beside a model, or one with `settings` where there is none."""
    source = getattr(config, "_name_or_path", "")
    try:
        return cls.from_pretrained(source, local_files_only=True) if source else cls(**settings)
    except OSError:
        return cls(**settings)
