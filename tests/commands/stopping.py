"""Work in steps, stopped in between."""

from collections.abc import Sequence

import pytest

from seesay.commands.stepping import Command, Stepper


def stop_before(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Let Ctrl-C be pressed once, before a step is done."""
    do = Stepper.do

    def stopped(self: Stepper, name: str, command: Command, *, after: Sequence[str] = ()) -> None:
        if name == step:
            monkeypatch.setattr(Stepper, "do", do)
            raise KeyboardInterrupt
        do(self, name, command, after=after)

    monkeypatch.setattr(Stepper, "do", stopped)
