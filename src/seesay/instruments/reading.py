"""What an instrument makes of pictures and words before its weights see them, as a hash: a part of its identity."""

from collections.abc import Mapping, Sequence
from typing import Any

from seesay.facts import hash_of

_NOT_SETTINGS = ("_name_or_path", "transformers_version", "dtype", "torch_dtype")


def reading_of(tokenizer: Any, parts: Sequence[tuple[Any, Any]]) -> str:
    """Hash the vocabulary, and the settings of models and their image processors.

    Args:
        tokenizer: of the words.
        parts: models with their image processors.
    """
    return hash_of({
        "vocabulary": sorted(tokenizer.get_vocab().items()),
        "parts": [[_settings(model.config.to_dict()), _settings(eye.to_dict())] for model, eye in parts],
    })  # fmt: skip


def _settings(found: Any) -> Any:
    """Plain data, without what changes nothing."""
    if isinstance(found, Mapping):
        return {str(name): _settings(value) for name, value in found.items() if name not in _NOT_SETTINGS}
    if isinstance(found, (list, tuple)):
        return [_settings(each) for each in found]
    return found if isinstance(found, (str, int, float, bool)) or found is None else str(found)
