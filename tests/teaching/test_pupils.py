"""Which patches make a pupil, worked out once more by hand."""

import numpy as np
import pytest
import torch
from PIL import Image

from seesay.teaching.config import Teaching
from seesay.teaching.pupils import Patches, find_pupils
from tests.explainers.galleries import noise, vlm_of
from tests.families import SIDE

LAYER = 1


def pictures(n: int = 6) -> list[Image.Image]:
    return [noise((SIDE, SIDE), seed) for seed in range(n)]


@pytest.mark.parametrize("family", ["gemma3", "llava", "qwen2_5_vl"])
def test_patches_are_residuals_of_patches_alone_off_their_mean(family: str) -> None:
    vlm = vlm_of(family)
    told: list[int] = []
    patches = Patches.of(vlm, LAYER, pictures(), told.append)
    rows = [vlm.encode_to([picture], LAYER) for picture in pictures()]
    whole = torch.cat([each.residual[0][each.is_patch[0]] for each in rows])
    # Qwen's residuals come window by window, patches row by row
    own, expected = (each[each[:, 0].argsort()] for each in (patches.offsets, whole - whole.mean(0)))
    assert torch.allclose(own, expected, atol=1e-4)
    assert patches.image.bincount().tolist() == [int(each.is_patch.sum()) for each in rows]
    assert sum(told) == 6


@pytest.mark.parametrize(("n_images", "likeness"), [(1, 0.75), (3, 0.75), (3, 1.0), (9, 0.2)])
def test_a_pupil_is_a_patch_with_those_like_it(n_images: int, likeness: float) -> None:
    patches = Patches.of(vlm_of(), LAYER, pictures())
    pupils = find_pupils(patches, Teaching(n_pupils=10, n_images=n_images, likeness=likeness))
    assert len(pupils) == 10
    unit = torch.nn.functional.normalize(patches.offsets, dim=-1)
    for pupil in pupils:
        assert len(pupil.images) == min(n_images, 6) == len(set(pupil.images))
        # the patch that was drawn is likest itself, so that its image comes first
        cosines = unit @ unit.T
        own = [torch.nonzero(patches.image == image).flatten() for image in pupil.images]
        drawn = [
            int(each)
            for each in own[0]
            if all(
                set(rows[torch.from_numpy(active.reshape(-1))].tolist())
                == {
                    int(row)
                    for row in rows
                    if cosines[each, row] >= min(likeness, 1) * cosines[each][rows].max() - 1e-6
                }
                for rows, active in zip(own, pupil.active, strict=True)
                if cosines[each][rows].max() > 0
            )
        ]
        assert drawn
        means = [
            patches.offsets[rows][torch.from_numpy(active.reshape(-1))].mean(0)
            for rows, active in zip(own, pupil.active, strict=True)
        ]
        assert torch.allclose(pupil.offset, torch.stack(means).mean(0), atol=1e-5)
        assert all(active.any() for active in pupil.active)


def test_other_patches_are_painted_over() -> None:
    patches, shown = Patches.of(vlm_of(), LAYER, pictures()), pictures()
    (pupil,) = find_pupils(patches, Teaching(n_pupils=2, n_images=2))[:1]
    for picture, image, active in zip(
        pupil.drawn(shown, patches, (255, 0, 255)), pupil.images, pupil.active, strict=True
    ):
        pixels, before = np.asarray(picture), np.asarray(shown[image])
        rows, columns = active.shape
        kept = active.repeat(SIDE // rows, 0).repeat(SIDE // columns, 1)
        assert (pixels[kept] == before[kept]).all()
        assert (pixels[~kept] == (255, 0, 255)).all()


def test_the_seed_draws_them_and_no_more_than_there_are() -> None:
    patches = Patches.of(vlm_of(), LAYER, pictures())

    def drawn(seed: int) -> list[list[float]]:
        return [each.offset.tolist() for each in find_pupils(patches, Teaching(n_pupils=5, seed=seed))]

    assert drawn(0) == drawn(0) != drawn(1)
    assert len(find_pupils(patches, Teaching(n_pupils=10_000))) == len(patches)
