"""How annotations are checked in tests: by beartype, and shapes by jaxtyping."""

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import is_dataclass
from typing import Any

import jaxtyping
from beartype import BeartypeConf, beartype

typechecker = beartype(conf=BeartypeConf(is_pep484_tower=True, violation_type=jaxtyping.TypeCheckError))
"""An int is a float, as type checkers have it (PEP 484); what is wrong is told in the same way as wrong shapes."""

_jaxtyped = jaxtyping.jaxtyped


def check_calls_of(package: str) -> None:
    """Check what is imported of a package from here on: every argument, every result, every field of a dataclass."""
    jaxtyping.install_import_hook(package, "tests.checking.typechecker")
    jaxtyping.jaxtyped = _sparingly  # the hook decorates everything with what stands there


@contextmanager
def unchecked_calls() -> Iterator[None]:
    """Calls as users make them: what is refused there must be refused by ourselves, and nothing takes longer."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


def _sparingly(*given: Any, typechecker: Any = None) -> Any:
    """As jaxtyping's, which binds every argument twice; here only where there are shapes to be compared."""
    if given or typechecker is None:  # not by the hook
        return _jaxtyped(*given, typechecker=typechecker)

    def decorate(decorated: Any) -> Any:
        if inspect.isclass(decorated) and not is_dataclass(decorated):
            return decorated
        called = decorated.__init__ if inspect.isclass(decorated) else decorated
        if _is_for_jaxtyping(called):
            return _jaxtyped(decorated, typechecker=typechecker)
        checked = typechecker(called)

        @functools.wraps(called)
        def either(*args: Any, **kwargs: Any) -> Any:
            return (called if jaxtyping.config.jaxtyping_disable else checked)(*args, **kwargs)

        if decorated is called:
            return either
        decorated.__init__ = either
        return decorated

    return decorate


def _is_for_jaxtyping(called: Callable[..., Any]) -> bool:
    """Whether shapes are in it, or names, of which it leaves out those that only type checkers know."""
    return any(isinstance(each, str) or "jaxtyping." in repr(each) for each in called.__annotations__.values())
