"""Networks that say of a face's crop what it shows: registry, preprocessing, and what runs them."""

from affectline.backbones.registry import BACKBONES, DEFAULT_BACKBONE
from affectline.backbones.session import Backbone, load_backbone
from affectline.backbones.spec import BackboneSpec

__all__ = ["BACKBONES", "DEFAULT_BACKBONE", "Backbone", "BackboneSpec", "load_backbone"]
