"""The model files and clips that affectline knows, and how they arrive on this machine."""

from affectline.assets.registry import ASSETS, AssetKind, AssetSpec
from affectline.assets.store import (
    AssetState,
    asset_spec,
    cache_folder,
    fetch,
    list_assets,
    verify_assets,
)

__all__ = [
    "ASSETS",
    "AssetKind",
    "AssetSpec",
    "AssetState",
    "asset_spec",
    "cache_folder",
    "fetch",
    "list_assets",
    "verify_assets",
]
