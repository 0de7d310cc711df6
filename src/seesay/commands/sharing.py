"""The options of commands whose work can be shared out: by which backend, among how many, and where."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from tyro.conf import arg

from seesay.commands.counts import OptionalCount
from seesay.commands.options import Options
from seesay.errors import InvalidSetting

if TYPE_CHECKING:
    from seesay.backends.crew import Crew

Models = TypeVar("Models")


@dataclass(frozen=True)
class SharingOptions:
    """Where the models are."""

    backend: Literal["local", "ray"] = "local"
    """Who computes: this process, or workers of a Ray cluster (docs/cluster.md). It does not change what is found."""

    workers: OptionalCount = None
    """Of Ray: so many; by default one for each GPU of the cluster, or one for each machine if it has none."""

    address: Annotated[str | None, arg(metavar="HOST:PORT")] = None
    """Of Ray: the cluster's address, or auto on a machine that belongs to one; by default this machine alone."""

    @property
    def is_local(self) -> bool:
        """Whether this process computes."""
        return self.backend == "local"

    def check(self, common: Options, *, spread: bool = False, tensor_parallel: bool = False) -> None:
        """Check that the options go together.

        Args:
            common: options of every command.
            spread: one model is to be on several devices.
            tensor_parallel: or shared out among processes.

        Raises:
            InvalidSetting: they do not.
        """
        for name in ("workers", "address") if self.is_local else ():
            if getattr(self, name) is not None:
                raise InvalidSetting(f"--{name} for one process", expected="--backend ray beside it")
        if self.is_local:
            return
        if ":" in common.device:
            raise InvalidSetting(
                f"--device {common.device} for many workers", expected="cpu, cuda or auto: Ray says which GPU is whose"
            )
        for name, is_given in (("spread", spread), ("tensor-parallel", tensor_parallel)):
            if is_given:
                raise InvalidSetting(f"--{name} with --backend ray", expected="one of the two: a worker has one GPU")

    @contextmanager
    def crew(self, load: "Callable[[], Models]", common: Options) -> "Generator[Crew[Models]]":
        """Have models loaded wherever they shall be.

        Args:
            load: loads them; it is sent where they shall be.
            common: options of every command.

        Raises:
            SeesayError: whatever is wrong with the models, or the cluster.
        """
        if self.is_local:
            from seesay.backends.local import Local

            yield Local(load())
            return
        from seesay.backends.cluster import hired

        with hired(load, address=self.address, n_workers=self.workers, on_cpu=common.device == "cpu") as crew:
            yield crew
