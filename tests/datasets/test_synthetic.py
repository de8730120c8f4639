from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pytest
from scipy.stats import multivariate_normal

from affectline.datasets.audit import audit
from affectline.datasets.labelled import TRAIN
from affectline.datasets.loading import DataOptions, load_labelled
from affectline.datasets.synthetic.backbone import make_backbones
from affectline.datasets.synthetic.ceilings import Posterior, class_probabilities, unit_probabilities
from affectline.datasets.synthetic.design import EXPRESSION_SHARES, UNIT_RATES, make_design
from affectline.datasets.synthetic.process import Spectrum, wiener
from affectline.datasets.synthetic.video import make_video
from affectline.datasets.synthetic.write import SynthOptions, write_synthetic
from affectline.errors import InputError, OutputError
from affectline.features.store import FeatureStore
from affectline.labels import ABAW_EXPRESSION_8, Task


def covariance(spectrum: Spectrum, n: int) -> np.ndarray:
    """The covariance matrix of a periodic process, entry by entry."""
    table = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            lag = min(abs(i - j), n - abs(i - j))
            table[i, j] = sum(v * np.exp(-0.5 * (lag / scale) ** 2) for v, scale in spectrum.slow) + spectrum.constant
        table[i, i] += spectrum.white
    return table


class TestProcess:
    # Short against the circle, so that the kernel needs no cutting.
    SIGNAL = Spectrum(slow=((0.7, 1.5), (0.3, 0.8)), constant=0.2)
    NOISE = Spectrum(slow=((0.4, 1.0),), white=0.5, constant=0.1)

    @pytest.mark.parametrize("n", [15, 16])
    def test_eigenvalues_are_those_of_the_covariance(self, n: int) -> None:
        half = self.SIGNAL.eigenvalues(n)
        full = np.concatenate([half, half[1 : (n + 1) // 2]])
        np.testing.assert_allclose(np.sort(full), np.linalg.eigvalsh(covariance(self.SIGNAL, n)), atol=1e-6)
        assert self.SIGNAL.variance == pytest.approx(1.2)

    def test_draws_have_the_covariance(self) -> None:
        paths = self.SIGNAL.draw(8, 200_000, np.random.default_rng(0))
        np.testing.assert_allclose(paths @ paths.T / 200_000, covariance(self.SIGNAL, 8), atol=0.02)

    @pytest.mark.parametrize("n", [15, 16])
    def test_the_smoother_is_the_conditional_expectation(self, n: int) -> None:
        signal, noise = covariance(self.SIGNAL, n), covariance(self.NOISE, n)
        observed = np.random.default_rng(1).normal(size=(n, 2))
        mean, variance = wiener(observed, self.SIGNAL, self.NOISE)
        gain = signal @ np.linalg.inv(signal + noise)
        np.testing.assert_allclose(mean, gain @ observed, atol=1e-6)
        np.testing.assert_allclose(np.diag(signal - gain @ signal), variance, atol=1e-6)


class TestDesign:
    def test_classes_and_units_occur_as_often_as_they_should(self) -> None:
        design = make_design()
        videos = [make_video("v", TRAIN, 2000, design, np.random.default_rng(seed)) for seed in range(60)]
        classes = np.concatenate([video.labels[Task.EXPR] for video in videos])
        wanted = [EXPRESSION_SHARES[label] for label in ABAW_EXPRESSION_8]
        np.testing.assert_allclose(np.bincount(classes, minlength=8) / len(classes), wanted, atol=0.03)
        units = np.concatenate([video.labels[Task.AU] for video in videos])
        np.testing.assert_allclose(units.mean(axis=0), UNIT_RATES, atol=0.05)
        seen = np.concatenate([video.has_face for video in videos])
        assert 0.95 < seen.mean() < 0.995

    def test_class_probabilities_equal_simulation(self) -> None:
        design = make_design()
        rng = np.random.default_rng(0)
        root = rng.normal(size=(20, 20)) / 8
        posterior = Posterior(rng.normal(size=(3, 20)), root @ root.T)
        latents = multivariate_normal.rvs(np.zeros(20), posterior.covariance, 100_000, random_state=1)
        for mean, found, units in zip(
            posterior.mean, class_probabilities(posterior, design), unit_probabilities(posterior, design), strict=True
        ):
            drawn = (mean + latents) @ design.class_weights.T + design.class_bias
            drawn += np.sqrt(0.10) * rng.standard_normal(drawn.shape)
            shares = np.bincount(np.argmax(drawn, axis=1), minlength=8) / len(drawn)
            np.testing.assert_allclose(found, shares, atol=0.05)
            on = (mean + latents) @ design.unit_weights.T + np.sqrt(0.10) * rng.standard_normal((100_000, 12))
            np.testing.assert_allclose(units, (on >= design.unit_threshold).mean(axis=0), atol=0.01)

    def test_embeddings_hold_the_evidence_and_logits_do_not(self) -> None:
        design = make_design()
        backbone, other = make_backbones(256, seed=3)
        evidence = np.random.default_rng(0).normal(size=(3000, 20)).astype(np.float32)
        found = backbone.features(evidence, design, np.random.default_rng(1))
        assert found.embedding.dtype == np.float16

        def explained(inputs: np.ndarray) -> np.ndarray:
            x = np.column_stack([inputs.astype(float), np.ones(len(inputs))])
            rest = evidence - x @ np.linalg.lstsq(x, evidence, rcond=None)[0]
            return 1 - rest.var(axis=0) / evidence.var(axis=0)

        assert explained(found.embedding).min() > 0.95
        assert explained(found.logits)[8:].max() < 0.05
        assert backbone.digest != other.digest
        assert found.valence is None
        assert other.features(evidence, design, np.random.default_rng(1)).valence is not None


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synthetic") / "set"
    write_synthetic(out, SynthOptions(videos=12, frames=150, seed=4, width=32))
    return out


class TestFiles:
    def test_the_audit_counts_what_the_latents_say(self, small: Path) -> None:
        found = {(split.task, split.split): split for split in audit(small).splits}
        for task in Task:
            for split, videos in (("train", 8), ("val", 2)):
                assert found[task, split].videos == videos
        lengths = {}
        for path in (small / "latents").iterdir():
            with pa.memory_map(str(path)) as source:
                table = pyarrow.ipc.open_file(source).read_all()
            lengths.setdefault(table.schema.metadata[b"split"].decode(), []).append(len(table))
        assert found[Task.AU, "train"].lines == sum(lengths["train"])
        assert len(lengths["test"]) == 2

    def test_features_can_be_loaded_with_labels(self, small: Path) -> None:
        options = DataOptions(small / "store", small / "annotations", backbones=("synthetic_mt",))
        data = load_labelled(Task.VA, "train", options)
        assert len(data.sequences) == 8
        (info,) = data.infos.values()
        assert (info.has_valence_arousal, info.rate_fps, info.embedding_size) == (True, 30.0, 32)

    def test_test_videos_have_features_and_samples_but_no_labels(self, small: Path) -> None:
        rows = (small / "CVPR_5th_ABAW_VA_test_set_sample.txt").read_text().splitlines()
        assert rows[0] == "image_location,valence,arousal"
        assert rows[1].endswith("/00001.jpg,")
        videos = {row.split("/")[0] for row in rows[1:]}
        store = FeatureStore(small / "store")
        assert videos <= {entry.video for entry in store.entries}
        assert not [path for path in (small / "annotations").rglob("*.txt") if path.stem in videos]
        example = (small / "CVPR_6th_ABAW_Expr_test_set_example.txt").read_text().splitlines()
        assert example[1].endswith("/00001.jpg,0")

    def test_ceilings_are_written_and_in_a_useful_order(self, small: Path) -> None:
        record = json.loads((small / "synthetic.json").read_text())
        assert record["is_synthetic"] is True
        found = {one["source"]: one for one in record["ceilings"]}
        # Two validation videos say little about valence; units change fast enough.
        assert found["synthetic_b0 embedding, whole video"]["AU"] > found["synthetic_b0 embedding, one frame"]["AU"]
        assert found["synthetic_b0 embedding, one frame"]["AU"] > found["synthetic_b0 logits, one frame"]["AU"]

    def test_the_same_seed_gives_the_same_files(self, small: Path, tmp_path: Path) -> None:
        write_synthetic(tmp_path / "again", SynthOptions(videos=12, frames=150, seed=4, width=32))
        for path in sorted(small.rglob("*")):
            if path.is_file():
                assert (tmp_path / "again" / path.relative_to(small)).read_bytes() == path.read_bytes(), path

    def test_crops_show_the_face_and_leave_gaps(self, tmp_path: Path) -> None:
        write_synthetic(tmp_path / "set", SynthOptions(videos=5, frames=60, seed=1, form="crops"))
        folders = sorted((tmp_path / "set" / "cropped").iterdir())
        assert len(folders) == 5
        path = min(folders[0].iterdir())
        clear = cv2.imread(str(path))
        hard = cv2.imread(str(tmp_path / "set" / "cropped_aligned" / folders[0].name / path.name))
        assert clear.shape == hard.shape == (112, 112, 3)
        assert (
            cv2.Laplacian(cv2.GaussianBlur(clear, (3, 3), 0), cv2.CV_64F).var()
            > 2 * cv2.Laplacian(cv2.GaussianBlur(hard, (3, 3), 0), cv2.CV_64F).var()
        )
        assert not (tmp_path / "set" / "store").exists()

    @pytest.mark.parametrize("wrong", [{"videos": 4}, {"frames": 10}, {"seed": -1}, {"width": 8}, {"form": "pictures"}])
    def test_refuses_what_makes_no_set(self, wrong: dict) -> None:
        with pytest.raises(InputError, match="a synthetic set"):
            SynthOptions(**wrong)

    def test_the_current_folder_stays_the_current_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        write_synthetic(Path(), SynthOptions(videos=5, frames=60))
        assert (Path() / "synthetic.json").is_file()

    def test_refuses_a_folder_with_something_in_it(self, tmp_path: Path) -> None:
        (tmp_path / "x").touch()
        with pytest.raises(OutputError, match="is not empty"):
            write_synthetic(tmp_path, SynthOptions())
