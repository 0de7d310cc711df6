"""How a command's SAE is found and read."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from seesay.commands.counts import OptionalCount
from seesay.commands.output import Output
from seesay.errors import LayerNotFound

if TYPE_CHECKING:
    from seesay.sae import SAE


@dataclass(frozen=True)
class SAEOptions:
    """Of the SAE, where its name alone does not tell which one, or its file not what it computes."""

    sae_subfolder: Annotated[str | None, arg(metavar="DIR")] = None
    """The folder inside the repository, or inside the folder, where there are several."""

    sae_revision: Annotated[str | None, arg(metavar="REV")] = None
    """Branch, tag or commit on the hub."""

    sae_k: OptionalCount = None
    """How many features a top-k keeps, for files that do not say."""

    sae_activation: Annotated[str | None, arg(metavar="NAME")] = None
    """The activation, for files that do not say: relu, topk, signed_topk, magnitude_topk, batch_topk or jumprelu."""

    @staticmethod
    def layer(name: str, sae: "SAE", given: int | None) -> int:
        """The block that is meant.

        Args:
            name: of the SAE, as on the command line.
            sae: which may tell what it was trained on.
            given: by `--layer`.

        Raises:
            LayerNotFound: neither says.
        """
        layer = sae.provenance.layer if given is None else given
        if layer is None:
            raise LayerNotFound(f"{name} does not say which block it was trained on", expected="--layer L")
        return layer

    @staticmethod
    def remark(output: Output, name: str, sae: "SAE", layer: int) -> None:
        """Say so if an SAE is used on a block that it was not made for.

        Args:
            output: of the command.
            name: of the SAE, as on the command line.
            sae: which may tell what it was trained on.
            layer: the block.
        """
        made_for = sae.provenance.layer
        if made_for not in (None, layer):
            output.console.print(f"{name} was made for block {made_for}, and is used on block {layer}.", soft_wrap=True)

    def load(self, name: str) -> "SAE":
        """Load the SAE that a flag names.

        Args:
            name: as on the command line.

        Raises:
            UnreadableSAE: if there is none, or it is damaged.
        """
        from seesay.commands.names import resolve_sae
        from seesay.sae import load_sae

        return load_sae(
            resolve_sae(name),
            subfolder=self.sae_subfolder,
            revision=self.sae_revision,
            k=self.sae_k,
            activation=self.sae_activation,
        )
