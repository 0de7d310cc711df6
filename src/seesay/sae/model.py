"""The one form in which every sparse autoencoder is used.

Shape suffixes: r rows (tokens), d d_model, f features, k active features of a row.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from seesay.errors import FeatureNotFound, MismatchedSAE

Activation = Literal["relu", "topk", "batch_topk", "jumprelu"]
"""What turns pre-activations into codes; `batch_topk` keeps, at inference, what exceeds its learnt threshold."""


@dataclass(frozen=True)
class Provenance:
    """What an SAE says of its own training; None where it does not say.

    Args:
        subject: name of the model.
        layer: the vision block whose output it was trained on, 0-based.
        hook: name of that place in the training library's terms.
        dataset: the images.
    """

    subject: str | None = None
    layer: int | None = None
    hook: str | None = None
    dataset: str | None = None


@final
@dataclass(frozen=True, eq=False)
class Codes:
    """Sparse codes: the active features of each row and how active they are.

    Rows with fewer than k active features are filled up with activations of 0.

    Args:
        values: activations, along unit-norm directions.
        feature_ids: the features they belong to.
    """

    values: Float[Tensor, "*row k"]
    feature_ids: Int[Tensor, "*row k"]

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

    `code = gain * activation(W_enc (x - b_dec) + b_enc)` and `reconstruction = code W_dec + b_dec`.

    Args:
        W_enc: encoder.
        W_dec: decoder; its rows, the features' directions, have unit norm (a row of zeros stays one).
        b_enc: encoder's bias.
        b_dec: decoder's bias.
        activation: what turns pre-activations into codes.
        k: how many features `topk` keeps.
        threshold: what pre-activations must exceed, strictly, for `batch_topk` and `jumprelu`.
        subtract_b_dec: whether `b_dec` is taken from the input first.
        gain: what codes are multiplied by *after* the activation has chosen them, 1 if None. It carries the norms
            that the decoder's rows had in the file. Folding those into the encoder instead would change which
            features a top-k keeps, and on which side of a threshold rounding puts a feature.
        provenance: what it was trained on.
    """

    W_enc: Float[Tensor, "d_model feature"]
    W_dec: Float[Tensor, "feature d_model"]
    b_enc: Float[Tensor, " feature"]
    b_dec: Float[Tensor, " d_model"]
    activation: Activation
    k: int | None = None
    threshold: Float[Tensor, " feature"] | None = None
    subtract_b_dec: bool = True
    gain: Float[Tensor, " feature"] | None = None
    provenance: Provenance = field(default_factory=Provenance)

    def __post_init__(self) -> None:
        assert (self.k is not None) == (self.activation == "topk")
        assert (self.threshold is not None) == (self.activation in ("batch_topk", "jumprelu"))

    @property
    def n_features(self) -> int:
        """How many features it has."""
        return self.W_dec.shape[0]

    @property
    def d_model(self) -> int:
        """Width of the residual stream it was made for."""
        return self.W_dec.shape[1]

    def to(self, device: torch.device | str) -> "SAE":
        """Return the same SAE on another device."""
        return replace(
            self,
            W_enc=self.W_enc.to(device),
            W_dec=self.W_dec.to(device),
            b_enc=self.b_enc.to(device),
            b_dec=self.b_dec.to(device),
            threshold=None if self.threshold is None else self.threshold.to(device),
            gain=None if self.gain is None else self.gain.to(device),
        )

    @torch.no_grad()
    def encode(self, residual: Float[Tensor, "*row d_model"], *, chunk_size: int = 4096) -> Codes:
        """Find each row's active features.

        Args:
            residual: raw residual stream; computed with in float32.
            chunk_size: how many rows at a time are written out over all features.

        Returns:
            Codes with as many places per row as the most active row needs, at least 1; k for `topk`.
        """
        rows_rd = residual.to(self.W_enc.device, torch.float32).reshape(-1, self.d_model)
        chunks = [self._encode_chunk(chunk_rd) for chunk_rd in rows_rd.split(chunk_size)]
        k = max(values_rk.shape[1] for values_rk, _ in chunks)
        values_rk = torch.cat([_filled_up(values_rk, k) for values_rk, _ in chunks])
        feature_ids_rk = torch.cat([_filled_up(feature_ids_rk, k) for _, feature_ids_rk in chunks])
        shape = (*residual.shape[:-1], k)
        return Codes(values_rk.reshape(shape), feature_ids_rk.reshape(shape))

    def _encode_chunk(self, rows_rd: Tensor) -> tuple[Tensor, Tensor]:
        centred_rd = rows_rd - self.b_dec if self.subtract_b_dec else rows_rd
        pre_rf = centred_rd @ self.W_enc + self.b_enc
        if self.threshold is not None:
            pre_rf = pre_rf * (pre_rf > self.threshold)
        k = self.k or max(1, int((pre_rf > 0).sum(-1).max()))
        values_rk, feature_ids_rk = pre_rf.topk(k, dim=-1)
        values_rk = values_rk.relu()
        if self.gain is not None:
            values_rk = values_rk * self.gain[feature_ids_rk]
        return values_rk, feature_ids_rk

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
        return bags.reshape(*row, self.d_model) + self.b_dec

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


def unit_rows(
    W_dec: Float[Tensor, "feature d_model"],
) -> tuple[Float[Tensor, "feature d_model"], Float[Tensor, " feature"]]:
    """Split a decoder into directions of unit norm and the norms; a row of zeros stays one, with norm 0."""
    norms = W_dec.norm(dim=-1)
    return torch.nn.functional.normalize(W_dec, dim=-1), norms


def _filled_up(rows_rk: Tensor, k: int) -> Tensor:
    return torch.nn.functional.pad(rows_rk, (0, k - rows_rk.shape[1]))
