"""The one form in which every sparse autoencoder is used.

Shape suffixes: r rows (tokens), d d_model, f features, k active features of a row.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, assert_never, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from seesay.errors import FeatureNotFound, MismatchedSAE

Activation = Literal["relu", "topk", "signed_topk", "magnitude_topk", "batch_topk", "jumprelu", "none"]
"""What turns pre-activations into codes.

`topk` keeps the k largest and none below zero, `signed_topk` the k largest whatever their sign, `magnitude_topk` the k
largest in magnitude with their signs; `batch_topk` keeps, at inference, what exceeds its learnt threshold, as
`jumprelu` does. `none` is a set of directions without an encoder.
"""

KEEPS_K: frozenset[Activation] = frozenset({"topk", "signed_topk", "magnitude_topk"})
HAS_THRESHOLD: frozenset[Activation] = frozenset({"batch_topk", "jumprelu"})

Normalization = Literal["none", "layer_norm", "constant_norm"]
"""What is done to each row before it is encoded, and undone after it is decoded: nothing; centring and division by its
standard deviation; or scaling to a norm of sqrt(d_model)."""

EPSILON = 1e-5
"""Added to the standard deviation of a layer norm, as SAELens and Prisma do."""


@dataclass(frozen=True)
class Provenance:
    """What an SAE says of its own training; None where it does not say.

    Args:
        subject: name of the model.
        layer: the vision block whose output it was trained on, 0-based.
        hook: name of that place in the training library's terms.
        dataset: the images.
        format: of the files that it was read from; the same SAE may be in several, so it tells no two apart.
    """

    subject: str | None = None
    layer: int | None = None
    hook: str | None = None
    dataset: str | None = None
    format: str | None = field(default=None, compare=False)


@final
@dataclass(frozen=True, eq=False)
class Codes:
    """Sparse codes: the active features of each row and how active they are.

    Rows with fewer active features than others are filled up with activations of 0.

    Args:
        values: activations, along unit-norm directions; negative ones only where the SAE's activation allows them.
        feature_ids: the features they belong to.
        scale: what an activation of 1 comes to in the row's residual, 1 if None; see `SAE.activation_scale`.
        shift: what normalisation took from each row, 0 if None.
    """

    values: Float[Tensor, "*row k"]
    feature_ids: Int[Tensor, "*row k"]
    scale: Float[Tensor, "*row"] | None = None
    shift: Float[Tensor, "*row"] | None = None

    def dense(self, n_features: int) -> Float[Tensor, "*row feature"]:
        """Write the codes out, zeros included.

        Args:
            n_features: how many features the SAE has.
        """
        zeros = self.values.new_zeros(*self.values.shape[:-1], n_features)
        # Added, not written: the filling's zeros must not overwrite an active feature.
        return zeros.scatter_add(-1, self.feature_ids, self.values)


@final
@dataclass(frozen=True, eq=False)
class SAE:
    """A sparse autoencoder of a residual stream, for inference.

    `code = gain * activation(W_enc (normalised x - b_dec) + b_enc)` and `reconstruction = code W_dec + b_dec`, with the
    normalisation undone.

    Args:
        W_enc: encoder; None for directions without one.
        W_dec: decoder; its rows, the features' directions, have unit norm (a row of zeros stays one).
        b_enc: encoder's bias.
        b_dec: decoder's bias.
        activation: what turns pre-activations into codes.
        k: how many features a top-k keeps.
        threshold: what pre-activations must exceed, strictly, for `batch_topk` and `jumprelu`. A gated SAE is a
            `jumprelu` whose threshold is where its gate opens.
        subtract_b_dec: whether `b_dec` is taken from the input first.
        gain: what codes are multiplied by *after* the activation has chosen them, 1 if None. It carries the norms
            that the decoder's rows had in the file. Folding those into the encoder instead would change which
            features a top-k keeps, and on which side of a threshold rounding puts a feature.
        normalization: what is done to each row first.
        provenance: what it was trained on.
    """

    W_enc: Float[Tensor, "d_model feature"] | None
    W_dec: Float[Tensor, "feature d_model"]
    b_enc: Float[Tensor, " feature"]
    b_dec: Float[Tensor, " d_model"]
    activation: Activation
    k: int | None = None
    threshold: Float[Tensor, " feature"] | None = None
    subtract_b_dec: bool = True
    gain: Float[Tensor, " feature"] | None = None
    normalization: Normalization = "none"
    provenance: Provenance = field(default_factory=Provenance)

    def __post_init__(self) -> None:
        assert (self.k is not None) == (self.activation in KEEPS_K)
        assert (self.threshold is not None) == (self.activation in HAS_THRESHOLD)
        assert (self.W_enc is None) == (self.activation == "none")

    def __repr__(self) -> str:
        chooses = self.activation if self.k is None else f"{self.activation} of {self.k}"
        size = f"{self.n_features} features of width {self.d_model}"
        return f"SAE({size}, {chooses}, {self.W_dec.dtype}, {self.provenance})"

    @property
    def n_features(self) -> int:
        """How many features it has."""
        return self.W_dec.shape[0]

    @property
    def d_model(self) -> int:
        """Width of the residual stream it was made for."""
        return self.W_dec.shape[1]

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "SAE":
        """Return the same SAE on another device or in another number format.

        Args:
            device: where to; None leaves it where it is.
            dtype: float32 or bfloat16; None leaves it as it is.
        """

        def moved(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.to(device=device, dtype=dtype)

        tensors = ("W_enc", "W_dec", "b_enc", "b_dec", "threshold", "gain")
        return replace(self, **{name: moved(getattr(self, name)) for name in tensors})

    @torch.no_grad()
    def encode(
        self, residual: Float[Tensor, "*row d_model"], *, rows_at_once: int = 4096, features_at_once: int = 16384
    ) -> Codes:
        """Find each row's active features.

        Args:
            residual: raw residual stream; computed with in the SAE's number format.
            rows_at_once: how many rows are written out at a time,
            features_at_once: over how many features.

        Returns:
            Codes with as many places per row as the most active row needs, at least 1; k for a top-k.

        Raises:
            MismatchedSAE: directions without an encoder, or residuals of another width.
        """
        if self.W_enc is None:
            raise MismatchedSAE(
                "directions without an encoder have no activations",
                expected="an SAE, or another method than one that shows images",
                remedy="steer them",
            )
        self._check_width(residual)
        rows_rd = residual.to(self.W_enc.device, self.W_enc.dtype).reshape(-1, self.d_model)
        normal_rd, scale_r, shift_r = self._normalised(rows_rd)
        centred_rd = normal_rd - self.b_dec if self.subtract_b_dec else normal_rd
        chunks = [self._encode_chunk(chunk_rd, features_at_once) for chunk_rd in centred_rd.split(rows_at_once)]
        values_rk, feature_ids_rk = (_side_by_side(parts) for parts in zip(*chunks, strict=True))
        row = residual.shape[:-1]
        return Codes(
            values_rk.reshape(*row, values_rk.shape[-1]),  # not -1, which no rows leave open
            feature_ids_rk.reshape(*row, values_rk.shape[-1]),
            None if scale_r is None else scale_r.reshape(row),
            None if shift_r is None else shift_r.reshape(row),
        )

    def activation_scale(self, residual: Float[Tensor, "*row d_model"]) -> Float[Tensor, "*row"]:
        """What an activation of 1 comes to in each row's residual stream; a direction that is steered is scaled by it.

        It is 1 save where the SAE normalises its rows.

        Args:
            residual: raw residual stream.

        Raises:
            MismatchedSAE: residuals of another width.
        """
        self._check_width(residual)
        rows_rd = residual.to(torch.float32).reshape(-1, self.d_model)
        _, scale_r, _ = self._normalised(rows_rd)
        return (rows_rd.new_ones(len(rows_rd)) if scale_r is None else scale_r).reshape(residual.shape[:-1])

    def _normalised(self, rows_rd: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Rows as the encoder takes them, and what it takes to undo that."""
        match self.normalization:
            case "none":
                return rows_rd, None, None
            case "layer_norm":
                shift_r1 = rows_rd.mean(-1, keepdim=True)
                centred_rd = rows_rd - shift_r1
                # torch warns of the deviation of no rows.
                scale_r1 = centred_rd.std(-1, keepdim=True) if len(rows_rd) else shift_r1
                return centred_rd / (scale_r1 + EPSILON), scale_r1.squeeze(-1), shift_r1.squeeze(-1)
            case "constant_norm":
                scale_r1 = rows_rd.norm(dim=-1, keepdim=True) / math.sqrt(self.d_model)
                # A row of zeros has no norm to be scaled to and stays one; SAELens makes NaN of it.
                return rows_rd / scale_r1.where(scale_r1 > 0, 1.0), scale_r1.squeeze(-1), None
            case _:
                assert_never(self.normalization)

    def _encode_chunk(self, centred_rd: Tensor, features_at_once: int) -> tuple[Tensor, Tensor]:
        """The active features of some rows, found among a part of the features at a time."""
        parts: list[tuple[Tensor, Tensor]] = []
        for start in range(0, self.n_features, features_at_once):
            chosen = slice(start, start + features_at_once)
            values_rk, feature_ids_rk = self._active(centred_rd, chosen)
            parts.append((values_rk, feature_ids_rk + start))
        values_rk, feature_ids_rk = (torch.cat(each, dim=-1) for each in zip(*parts, strict=True))
        if len(parts) > 1:
            values_rk, feature_ids_rk = self._largest(values_rk, feature_ids_rk)
        if self.activation not in ("signed_topk", "magnitude_topk"):
            values_rk = values_rk.relu()
        return (values_rk if self.gain is None else values_rk * self.gain[feature_ids_rk]), feature_ids_rk

    def _active(self, centred_rd: Tensor, chosen: slice) -> tuple[Tensor, Tensor]:
        assert self.W_enc is not None
        pre_rf = torch.addmm(self.b_enc[chosen], centred_rd, self.W_enc[:, chosen])
        if self.threshold is not None:
            pre_rf = pre_rf * (pre_rf > self.threshold[chosen])
        return self._largest(pre_rf)

    def _largest(self, values_rc: Tensor, feature_ids_rc: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The k values of each row that are kept, or as many as the most active row has above zero."""
        wanted_rc = values_rc.abs() if self.activation == "magnitude_topk" else values_rc
        k = self.k or max([1, *(values_rc > 0).sum(-1).tolist()])  # a list, as there may be no rows
        places_rk = wanted_rc.topk(min(k, values_rc.shape[-1]), dim=-1).indices
        values_rk = values_rc.gather(-1, places_rk)
        return values_rk, places_rk if feature_ids_rc is None else feature_ids_rc.gather(-1, places_rk)

    @torch.no_grad()
    def decode(self, codes: Codes) -> Float[Tensor, "*row d_model"]:
        """Rebuild residuals from codes; only the active features' directions are read."""
        *row, k = codes.values.shape
        bags = torch.nn.functional.embedding_bag(
            codes.feature_ids.reshape(-1, k),
            self.W_dec,
            per_sample_weights=codes.values.reshape(-1, k),
            mode="sum",
        )
        rebuilt = bags.reshape(*row, self.d_model) + self.b_dec
        if codes.scale is not None:
            rebuilt = rebuilt * codes.scale[..., None]
        return rebuilt if codes.shift is None else rebuilt + codes.shift[..., None]

    def direction(self, feature_id: int) -> Float[Tensor, " d_model"]:
        """Look up one feature's direction, of unit norm.

        Raises:
            FeatureNotFound: an id that the SAE does not have.
        """
        return self.directions([feature_id])[0]

    def directions(self, feature_ids: Sequence[int]) -> Float[Tensor, "chosen d_model"]:
        """Look up features' directions, of unit norm.

        Raises:
            FeatureNotFound: an id that the SAE does not have.
        """
        for feature_id in feature_ids:
            if feature_id not in range(self.n_features):
                raise FeatureNotFound(f"feature {feature_id}", expected=f"0 to {self.n_features - 1}")
        return self.W_dec[list(feature_ids)]

    def check_fits(self, d_model: int) -> None:
        """Check that the SAE was made for a residual stream of a width.

        Raises:
            MismatchedSAE: it was not.
        """
        if d_model != self.d_model:
            raise MismatchedSAE(
                f"an SAE for residuals of width {self.d_model}",
                expected=f"width {d_model}, that of the model's vision encoder",
                remedy="choose an SAE trained on this model",
            )

    def _check_width(self, residual: Tensor) -> None:
        if residual.shape[-1:] != (self.d_model,):
            raise MismatchedSAE(
                f"residuals of shape {list(residual.shape)}",
                expected=f"a last axis of {self.d_model}, the width of the SAE",
                remedy="choose an SAE trained on this model",
            )


def unit_rows(
    W_dec: Float[Tensor, "feature d_model"],
) -> tuple[Float[Tensor, "feature d_model"], Float[Tensor, " feature"]]:
    """Split a decoder into directions of unit norm and the norms; a row of zeros stays one, with norm 0.

    The norms are infinite where they are beyond the number format; the directions are right all the same.
    """
    # In float64, where squares of the largest and the smallest float32 are numbers, too.
    norms = torch.linalg.vector_norm(W_dec, dim=-1, dtype=torch.float64)
    divisors = norms.where(norms > 0, 1.0)[:, None]
    # Into a float32 tensor, as the quotients in float64 would take twice the decoder's memory.
    return torch.div(W_dec, divisors, out=torch.empty_like(W_dec)), norms.to(W_dec.dtype)


def _side_by_side(parts: Sequence[Tensor]) -> Tensor:
    """Rows below rows, the narrower ones filled up with zeros."""
    k = max(part.shape[1] for part in parts)
    return torch.cat([torch.nn.functional.pad(part, (0, k - part.shape[1])) for part in parts])
