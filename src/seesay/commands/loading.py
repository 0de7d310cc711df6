"""Loading what a command works on, with nothing on the screen but what was asked for."""

from typing import TYPE_CHECKING

from seesay.commands.names import resolve_sae, resolve_subject
from seesay.commands.options import Options

if TYPE_CHECKING:
    from seesay.sae import SAE
    from seesay.vlm import VLM


def load_sae(name: str) -> "SAE":
    """Load the SAE that `--sae` names.

    Raises:
        UnreadableSAE: if there is none, or it is damaged.
    """
    from seesay import sae

    return sae.load_sae(resolve_sae(name))


def load_subject(name: str, options: Options) -> "VLM":
    """Load the model that `--subject` names, onto the device and in the number format of the options.

    Raises:
        UnreadableModel: if there is none, or it is damaged.
        UnavailableDevice: if this machine lacks the device or the number format.
    """
    from transformers.utils import logging

    from seesay import vlm

    if not options.verbose:
        # its bar for reading weights and its advice to programmers would bury a command's own words
        logging.disable_progress_bar()
        logging.set_verbosity_error()
    return vlm.load_vlm(resolve_subject(name), device=options.device, dtype=options.dtype)
