"""From what a model says of pupils to a linear map: which residuals speak for which phrase?"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from seesay.teaching.config import Teaching

_MOST_STEPS = 300


def meanings(likelihoods: Float[Tensor, "pupil phrase"], teaching: Teaching) -> Float[Tensor, "pupil phrase"]:
    """What each pupil means: a distribution over phrases.

    A model says some phrases of whatever it is shown; a share of each phrase's mean log-probability is taken away.

    Args:
        likelihoods: natural log-probabilities of each phrase, summed over its tokens.
        teaching: the share, and the temperature.
    """
    return ((likelihoods - teaching.common_share * likelihoods.mean(0)) / teaching.temperature).softmax(-1)


def fit(
    offsets: Float[Tensor, "pupil d_model"], meant: Float[Tensor, "pupil phrase"], teaching: Teaching
) -> Float[Tensor, "phrase d_model"]:
    """Fit a multinomial regression, with weight decay, of what pupils mean on where they lie.

    Args:
        offsets: of their residuals from the mean; only their directions count.
        meant: distributions over phrases.
        teaching: decay and levelling.

    Returns:
        The weights of each phrase, divided by a power of their norm.
    """
    directions = normalize(offsets.float(), dim=-1)
    weights = torch.zeros(directions.shape[1], meant.shape[1], requires_grad=True)
    bias = torch.zeros(meant.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([weights, bias], max_iter=_MOST_STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        logits = directions @ weights + bias
        found = -(meant * logits.log_softmax(-1)).sum(-1).mean() + teaching.decay / 2 * weights.square().sum()
        found.backward()
        return found

    with torch.enable_grad():
        optimizer.step(loss)  # pyright: ignore[reportArgumentType] (torch wants a float, and takes a tensor)
    found = weights.detach().T
    return found / found.norm(dim=-1, keepdim=True).clamp_min(1e-12) ** teaching.levelling
