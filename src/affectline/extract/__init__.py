"""Filling a feature store from videos, or from folders of ready crops."""

from affectline.extract.job import Extracted, ExtractOptions, extract_all, load_extractor
from affectline.extract.sources import ExtractSource, find_sources

__all__ = ["ExtractOptions", "ExtractSource", "Extracted", "extract_all", "find_sources", "load_extractor"]
