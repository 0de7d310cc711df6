"""Which features choose and which are judged.

Strengths and prompts are chosen on *validation* features; every figure that is reported comes from *test* features.
"""

from hashlib import blake2b

from seesay.records import Split

VALIDATION_SHARE = 0.25


def split_of(feature_id: int) -> Split:
    """The part that a feature belongs to, for ever: by a hash of its id, so that no list or order matters."""
    digest = blake2b(feature_id.to_bytes(8, "little"), digest_size=8, person=b"seesay-split").digest()
    return "validation" if int.from_bytes(digest, "little") < VALIDATION_SHARE * 2**64 else "test"
