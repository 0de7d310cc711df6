"""Facts: all that a result depends on, as plain data, and the hash by which it is known again."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def hash_of(facts: Mapping[str, Any]) -> str:
    """The identity of whatever depends on some facts and on nothing else.

    Args:
        facts: plain data; no NaN or infinity in it. Their order does not matter.
    """
    return hashlib.sha256(json.dumps(facts, sort_keys=True, allow_nan=False).encode()).hexdigest()
