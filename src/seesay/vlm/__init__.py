"""Vision-language models, as three steps: encode up to a block, encode on from it, say."""

from seesay.vlm.answers import Answer
from seesay.vlm.loading import load_vlm
from seesay.vlm.model import VLM
from seesay.vlm.prompts import Prompts

__all__ = ["VLM", "Answer", "Prompts", "load_vlm"]
