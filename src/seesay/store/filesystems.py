"""What kind of file system a folder is on: SQLite's write-ahead log needs memory that all its users share."""

import os
from pathlib import Path

_NETWORK = frozenset(
    """9p afs beegfs ceph cifs davfs gpfs lustre
    ncpfs nfs nfs4 orangefs panfs smb3 smbfs virtiofs vboxsf wekafs""".split()  # noqa: SIM905
)
_MOUNTS = Path("/proc/self/mounts")


def is_on_network(folder: Path) -> bool:
    """Whether a folder is on a file system that several machines may share, as far as its name tells; most of what
    goes by FUSE is one.
    """
    kind = kind_of(folder)
    return kind in _NETWORK or kind.startswith("fuse.")


def kind_of(folder: Path, mounts: Path = _MOUNTS) -> str:
    """The name of a folder's file system, as Linux calls it; empty where that cannot be told.

    Args:
        folder: need not exist.
        mounts: the table of what is mounted where.
    """
    try:
        table = mounts.read_text("utf-8", errors="surrogateescape")
    except OSError:  # not on Linux
        return ""
    kind, longest = "", -1
    place = os.path.realpath(folder)
    for line in table.splitlines():
        _device, point, found, *_ = line.split(" ")
        point = _unescaped(point)
        if len(point) >= longest and os.path.commonpath([point, place]) == point:  # the last one mounted there counts
            kind, longest = found, len(point)
    return kind


def _unescaped(point: str) -> str:
    """The table writes blanks and the like as octal numbers."""
    for escape, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        point = point.replace(escape, character)
    return point
