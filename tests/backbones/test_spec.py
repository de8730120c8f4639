from __future__ import annotations

import json
from dataclasses import replace

import pytest

from affectline.assets import ASSETS
from affectline.backbones import BACKBONES
from affectline.backbones.spec import EXAMPLE_DESCRIPTION, Colour, Form, describe, parse_description
from affectline.errors import ModelFileError
from affectline.labels import AFFECTNET_7, AFFECTNET_8, FERPLUS_8, ActionUnit


def with_field(name: str, value: object) -> str:
    return json.dumps({**json.loads(EXAMPLE_DESCRIPTION), name: value})


@pytest.mark.parametrize("spec", BACKBONES.values(), ids=BACKBONES)
def test_description_gives_the_same_spec_back(spec) -> None:
    assert parse_description(describe(spec), spec.form, "here") == spec


@pytest.mark.parametrize(
    "outputs",
    [
        {"labels": (), "action_units": (ActionUnit.AU12, ActionUnit.AU1)},
        {"labels": (), "has_valence_arousal": True},
        {"has_valence_arousal": True, "action_units": tuple(ActionUnit)},
    ],
)
def test_backbones_of_other_tasks_are_described_too(outputs: dict[str, object]) -> None:
    spec = replace(BACKBONES["lite0_ferplus"], **outputs)
    assert parse_description(describe(spec), Form.AFFECTLINE, "here") == spec


def test_example_is_an_efficientnet_b0() -> None:
    spec = parse_description(EXAMPLE_DESCRIPTION, Form.EMOTIEFFLIB, "here")
    official = BACKBONES["enet_b0_8_best_vgaf"]
    for name in ("labels", "size", "mean", "std", "colour", "resize", "has_valence_arousal", "temperature"):
        assert getattr(spec, name) == getattr(official, name)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("size", "224", 'size must be a whole number from 1 to 2048, got "224"'),
        ("size", True, "size must be a whole number"),
        ("size", 0, "size must be a whole number"),
        ("mean", [0.5, 0.5], r"mean must be three numbers from 0 to 1, got \[0.5, 0.5\]"),
        ("mean", [124, 116, 104], "mean must be three numbers from 0 to 1"),
        ("std", [0, 1, 1], "std must be three numbers from 0.001 to 10"),
        ("std", 0.5, "std must be three numbers"),
        ("colour", "bgr", "colour must be 'rgb' or 'grey', got \"bgr\""),
        ("resize", [["linear", 112]], "the last one to 224"),
        ("resize", [["cubic", 224]], "resize must be a list of steps"),
        ("resize", [], "resize must be a list of steps"),
        ("resize", [["linear"]], "resize must be a list of steps"),
        ("resize", [["area", 0], ["linear", 224]], "resize must be a list of steps"),
        ("resize", "linear", "resize must be a list of steps"),
        ("labels", ["Anger", "Fear"], "labels must be"),
        ("labels", {"expression_logits": ["Anger"]}, "at least two different ones"),
        ("labels", {"expression_logits": ["Anger", "Anger"]}, "at least two different ones"),
        ("labels", {"expression_logits": ["Anger", "Joy"]}, "at least two different ones of Anger, Contempt"),
        ("labels", {"expression_logits": [1, 2]}, "at least two different ones"),
        ("labels", {"au_logits": ["AU1", "AU2"]}, "expression_logits alone, as the EmotiEffLib form"),
        ("labels", {"au_logits": ["AU1", "AU3"]}, r"\"au_logits\": \[at least one different ones of AU1, AU2"),
        ("labels", {"au_logits": []}, "at least one"),
        ("labels", {"va": ["AU1"]}, "lists of labels for expression_logits, au_logits or both"),
        ("labels", {}, "or valence_arousal true"),
        ("valence_arousal", 1, "valence_arousal must be true or false, got 1"),
        ("square", "yes", "square must be true or false"),
        ("margin", -1, "margin must be a number from -0.9 to 9"),
        ("temperature", 0, "temperature must be a number from 0.01 to 100"),
        ("temperature", float("nan"), "temperature must be a number"),
        ("licence", None, "licence must be text, got null"),
    ],
)
def test_wrong_field_is_named(name: str, value: object, message: str) -> None:
    with pytest.raises(ModelFileError, match=message) as raised:
        parse_description(with_field(name, value), Form.EMOTIEFFLIB, "face.json")
    assert str(raised.value).startswith("face.json: ")


def test_missing_and_unknown_fields_are_listed() -> None:
    fields = json.loads(EXAMPLE_DESCRIPTION)
    del fields["size"]
    fields["image_size"] = 224
    with pytest.raises(ModelFileError, match=r"missing: size; not known: image_size; for example \{"):
        parse_description(json.dumps(fields), Form.EMOTIEFFLIB, "face.json")


@pytest.mark.parametrize(("text", "message"), [("{", "face.json is not JSON"), ("[1]", "must be one JSON object")])
def test_other_text_is_refused(text: str, message: str) -> None:
    with pytest.raises(ModelFileError, match=message):
        parse_description(text, Form.EMOTIEFFLIB, "face.json")


def test_registry_is_what_emotiefflib_reads_from_the_names() -> None:
    # emotiefflib 1.1.1, facial_analysis.py, lines 76-115.
    for name, spec in BACKBONES.items():
        if spec.form is Form.AFFECTLINE:
            continue
        assert spec.labels == (AFFECTNET_7 if "_7" in name else AFFECTNET_8)
        assert spec.has_valence_arousal == ("_mtl" in name)
        assert spec.size == (112 if "mbf" in name else 260 if "_b2_" in name else 224)
        assert spec.mean == ((0.5, 0.5, 0.5) if "mbf" in name else (0.485, 0.456, 0.406))
        assert spec.std == ((0.5, 0.5, 0.5) if "mbf" in name else (0.229, 0.224, 0.225))
        assert spec.colour is Colour.RGB
        assert not spec.crop.square


def test_every_backbone_is_an_asset_with_the_same_terms() -> None:
    assert len(BACKBONES) == 9
    for name, spec in BACKBONES.items():
        assert spec.name == name
        assert (spec.licence, spec.training_data) == (ASSETS[name].licence, ASSETS[name].training_data)
    assert BACKBONES["lite0_ferplus"].labels == FERPLUS_8
