"""An adapter is taught: a model learns to hear in a steered direction what it said of the feature's images.

The model itself stays as it is. Some of the features are held back, by which it is told when to stop.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace

import torch
from torch import Tensor

from seesay.errors import InvalidSetting
from seesay.explainers.adapter import Adapter
from seesay.explainers.config import Setting
from seesay.explainers.explainer import Explainer
from seesay.explainers.gallery import NoImages
from seesay.records import Strength
from seesay.sae import SAE
from seesay.teaching.config import Adapting
from seesay.teaching.teaching import Progress
from seesay.vlm import VLM
from seesay.vlm.likelihood import answer_losses


def adapt(
    vlm: VLM,
    sae: SAE,
    layer: int,
    said: Mapping[int, str],
    strength: Strength,
    *,
    adapting: Adapting = Adapting(),  # noqa: B008 (frozen)
    progress: Progress,
) -> Adapter:
    """Teach an adapter.

    Args:
        vlm: the model that explains.
        sae: of its vision encoder.
        layer: the block that is steered.
        said: of each feature, none of which is to be judged, what the model says where it sees more of it.
        strength: by which features are pushed.
        adapting: how it is taught.
        progress: shows how far it is.

    Raises:
        InvalidSetting: too few features, or one of which nothing is said.
        SeesayError: what cannot be steered or asked.
    """
    ids = sorted(said)
    generator = torch.Generator().manual_seed(adapting.seed)
    drawn = [ids[place] for place in torch.randperm(len(ids), generator=generator).tolist()]
    n_held_back = max(1, round(adapting.held_back * len(drawn)))
    held_back, taught = drawn[:n_held_back], drawn[n_held_back:]
    if not taught or not all(each.split() for each in said.values()):
        raise InvalidSetting(f"an adapter from {len(ids)} features", expected="two or more, and words of each")
    device = vlm.encoder.device
    scale = torch.ones((), device=device, requires_grad=True)
    bias = torch.zeros(sae.d_model, device=device, requires_grad=True)
    adapter = Adapter(scale, bias, strength, {})
    setting = Setting("steering", strength, adapter=adapter.identity)
    explainer = Explainer(vlm, setting, NoImages(ids), sae=sae, layer=layer, adapter=adapter)
    prompt = vlm.prompts.filled_in("steering")

    def loss(feature_ids: Sequence[int]) -> Tensor:
        rows = explainer.see(feature_ids)
        return answer_losses(vlm, prompt, rows, [said[each] for each in feature_ids]).mean()

    def held_back_loss() -> float:
        with torch.no_grad():
            losses = [loss(some).item() * len(some) for some in _batches(held_back, adapting.batch_size)]
        return sum(losses) / len(held_back)

    # each number of the bias is small beside the scale, which is one number alone
    optimizer = torch.optim.AdamW([
        {"params": [scale], "lr": adapting.scale_rate, "weight_decay": 0.0},
        {"params": [bias], "lr": adapting.bias_rate, "weight_decay": adapting.decay},
    ])  # fmt: skip
    best, n_worse = (held_back_loss(), scale.detach().clone(), bias.detach().clone(), 0), 0
    with progress("adapter", adapting.n_epochs) as advance:
        for epoch in range(1, adapting.n_epochs + 1):
            order = [taught[place] for place in torch.randperm(len(taught), generator=generator).tolist()]
            for some in _batches(order, adapting.batch_size):
                # of these two alone: what it costs to know the gradients of all else is not needed
                scale.grad, bias.grad = torch.autograd.grad(loss(some), [scale, bias])
                optimizer.step()
            found = held_back_loss()
            advance(1)
            n_worse = 0 if found < best[0] else n_worse + 1
            if not n_worse:
                best = (found, scale.detach().clone(), bias.detach().clone(), epoch)
            if n_worse > adapting.patience:
                break
    facts = {"layer": layer, "features": ids, "loss": best[0], "epoch": best[3], **asdict(adapting)}
    return replace(adapter, scale=best[1].cpu(), bias=best[2].cpu(), facts=facts)


def _batches(feature_ids: Sequence[int], n: int) -> Iterator[Sequence[int]]:
    return (feature_ids[start : start + n] for start in range(0, len(feature_ids), n))
