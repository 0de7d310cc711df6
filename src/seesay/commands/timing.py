"""How long Top-k and the hybrid take for the same features, one after the other."""

import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import final

from seesay.commands.explaining_options import ExplainerOptions
from seesay.commands.options import Options
from seesay.commands.output import Output
from seesay.commands.sae_options import SAEOptions
from seesay.commands.speaking import alone, speaking
from seesay.explainers.config import Setting
from seesay.records import Decoding, Strength

N_TIMED = 64
"""Features that are explained for the sake of time."""

_N_ROUNDS = 5


@final
@dataclass(frozen=True)
class Timing:
    """Let Top-k and the hybrid explain the same features in turns; nothing of it is kept but how long it took.

    Args:
        path: of the run.
        feature_ids: which features.
        strength: by which the hybrid pushes.
        max_new_tokens: of an answer.
        who: explains.
        common: options of every command.
        rounds: seconds of Top-k and of the hybrid, when it has been run.
    """

    path: Path
    feature_ids: tuple[int, ...]
    strength: Strength
    max_new_tokens: int
    who: ExplainerOptions
    common: Options
    rounds: list[list[float]] = field(default_factory=list[list[float]], repr=False)

    def run(self) -> int:
        """Do it."""
        output = Output(self.common)
        with speaking(
            self.path,
            steers=True,
            finding=SAEOptions(),
            who=self.who,
            common=self.common,
            check=lambda _run: None,
            begin=partial(alone, output=output),
        ) as (run, speaker, _named, _):
            decoding = Decoding(self.max_new_tokens)
            settings = (Setting("topk", decoding=decoding), Setting("hybrid", self.strength, decoding=decoding))
            for number in range(1 + _N_ROUNDS):
                took: list[float] = []
                for setting in settings:
                    explainer, started = speaker.explainer(setting, run), time.perf_counter()
                    for _ in explainer.explain(list(self.feature_ids), N_TIMED):
                        pass
                    took.append(time.perf_counter() - started)
                if number:  # the first round is for warming up
                    self.rounds.append(took)
        return 0
