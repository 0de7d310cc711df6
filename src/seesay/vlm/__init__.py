"""Vision-language models, as three steps: encode up to a block, encode on from it, say."""

from seesay.vlm.answers import Answer
from seesay.vlm.encoded import Encoded
from seesay.vlm.encoder import Encoder
from seesay.vlm.geometry import Geometry
from seesay.vlm.loading import load_encoder, load_vlm
from seesay.vlm.model import VLM
from seesay.vlm.prompts import Prompts
from seesay.vlm.tokens import ImageTokens

__all__ = ["VLM", "Answer", "Encoded", "Encoder", "Geometry", "ImageTokens", "Prompts", "load_encoder", "load_vlm"]
