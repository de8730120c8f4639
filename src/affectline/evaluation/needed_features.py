"""Which features heads need, and whether a store has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from affectline.datasets.stored_videos import StoredVideos
from affectline.errors import InputError
from affectline.features import CropKind
from affectline.features.store import FeatureStore
from affectline.heads.blend import BlendHead
from affectline.heads.head import Head


def digests_of(heads: Sequence[Head]) -> tuple[str, ...]:
    """Return the digest of every backbone that the heads need, each once."""
    return tuple({ref.digest: None for head in heads for ref in head.card.backbones})


def require_backbones(store: FeatureStore, head: Head, name: str) -> None:
    """Check that a store has the features that a head was trained on.

    Args:
        store: any.
        head: any.
        name: what to call the head.

    Raises:
        InputError: a backbone is not there; its digest and those of the store are named.
    """
    there = {entry.digest: entry.backbone for entry in store.entries}
    for ref in head.card.backbones:
        if ref.digest not in there:
            listed = ", ".join(f"{backbone} (sha256 {digest})" for digest, backbone in there.items()) or "nothing"
            raise InputError(
                f"{name} was trained on features of {ref.name} (sha256 {ref.digest}), but {store.folder} has features "
                f"of {listed}; extract features with the head's backbone, or train a head for this one"
            )


def usual_crop_kind(store: FeatureStore, heads: Mapping[str, Head]) -> CropKind | None:
    """Return the crop kind that all heads were trained on, if the store has it; None otherwise.

    Args:
        store: any.
        heads: by what to call them.

    Raises:
        InputError: the store has several kinds that heads, or parts of a blend, were trained on.
    """
    kinds = {name: _crop_kinds(head) for name, head in heads.items()}
    there = {entry.crop_kind for entry in store.entries if entry.digest in digests_of(list(heads.values()))}
    usable = {kind for found in kinds.values() for kind in found} & there
    if len(usable) > 1:
        each = "; ".join(f"{name}: {' and '.join(sorted(found))}" for name, found in kinds.items())
        raise InputError(
            f"heads see the crops that they were trained on, and these differ ({each}); score them one by one, or say "
            "with --crops which all are to see"
        )
    return usable.pop() if usable else None


def _crop_kinds(head: Head) -> frozenset[CropKind]:
    """Return what a head, or the parts of a blend, were trained on."""
    if isinstance(head, BlendHead):
        return frozenset[CropKind]().union(*map(_crop_kinds, head.parts))
    return frozenset() if head.card.crop_kind is None else frozenset({head.card.crop_kind})


def videos_for(store: FeatureStore, head: Head, name: str, crop_kind: CropKind | None = None) -> StoredVideos:
    """Return the videos of a store as the backbones of a head saw them.

    Args:
        store: any.
        head: any.
        name: what to call the head.
        crop_kind: None for that of the head's training or, if the store lacks it, the only one there is.

    Raises:
        InputError: the store lacks a backbone or the crop kind, or parts of a blend were trained on different ones.
    """
    require_backbones(store, head, name)
    return StoredVideos(store, digests_of([head]), crop_kind or usual_crop_kind(store, {name: head}))
