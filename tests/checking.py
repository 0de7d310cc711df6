"""How annotations are checked in tests: beartype, where an int is a float as type checkers have it (PEP 484)."""

from collections.abc import Iterator
from contextlib import contextmanager

import jaxtyping
from beartype import BeartypeConf, beartype

typechecker = beartype(conf=BeartypeConf(is_pep484_tower=True))


@contextmanager
def unchecked_calls() -> Iterator[None]:
    """Calls as users make them: what is refused there must be refused by ourselves, and nothing takes longer."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
