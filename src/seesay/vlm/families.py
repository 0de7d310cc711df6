"""What differs between families of vision-language models, as one table.

A family is looked up by its configuration's `model_type`, never by its name or class.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from seesay.errors import UnreadableModel


@dataclass(frozen=True)
class Family:
    """The facts about one family that cannot be read off a checkpoint.

    Args:
        tower: path of the vision tower inside the model.
        n_prefix_tokens: how many tokens precede the patches in the encoder (CLS, registers).
        one_picture: options of the image processor that keep one image one picture (no tiles, no crops).
    """

    tower: str
    n_prefix_tokens: int = 0
    one_picture: Mapping[str, object] = field(default_factory=dict[str, object])


FAMILIES: Mapping[str, Family] = {
    "gemma3": Family(tower="model.vision_tower", one_picture={"do_pan_and_scan": False}),
}


def family_of(model_type: str) -> Family:
    """Look up a family.

    Args:
        model_type: `config.model_type` of the checkpoint.

    Raises:
        UnreadableModel: a family that is not in the table.
    """
    if model_type not in FAMILIES:
        raise UnreadableModel(
            f"a model of type {model_type!r}",
            expected=f"a vision-language model of type {', '.join(sorted(FAMILIES))}",
            remedy="choose such a model",
        )
    return FAMILIES[model_type]
