from __future__ import annotations

import base64

import cv2
import numpy as np
import pytest
from finished_results import moving_row, one_face, two_faces_with_gaps
from result_tables import table_of

from affectline.inputs import expand_inputs, open_input
from affectline.labels import Expression
from affectline.report.page.moments import moments_per_expression, top_moments
from affectline.report.page.pictures import THUMBNAIL_PX, cut_face, image_pictures, jpeg_address
from affectline.report.series import Track, expressions_in, make_grid, split_tracks


def noise(folder, sizes_wh):
    """Return a folder of pictures that no encoder makes small."""
    random = np.random.default_rng(0)
    for number, (width, height) in enumerate(sizes_wh):
        cv2.imwrite(str(folder / f"{number}.png"), random.integers(0, 256, (height, width, 3), dtype=np.uint8))
    return open_input(expand_inputs([folder], None)[0], None)


def size_of(address):
    data = np.frombuffer(base64.b64decode(address.split(",")[1]), np.uint8)
    height, width = cv2.imdecode(data, cv2.IMREAD_COLOR).shape[:2]
    return width, height


def only_track(table) -> Track:
    return split_tracks(table, make_grid(table), 1)[0][0]


class TestMoments:
    def test_the_strongest_come_first_and_apart(self):
        table = one_face(200)
        moments = top_moments(only_track(table), expressions_in(table))
        by_label = {label: [m.frame for m in moments if m.label is label] for label in Expression}
        assert by_label[Expression.SADNESS] == [0, 25]  # a second apart, while sadness is the likeliest
        assert by_label[Expression.HAPPINESS] == [199, 174]
        assert by_label[Expression.NEUTRAL][0] in {99, 100}
        assert by_label[Expression.FEAR] == []
        assert next(m.probability for m in moments if m.label is Expression.HAPPINESS) == pytest.approx(1)

    def test_only_what_was_seen_well_counts(self):
        rows = [moving_row(n, of=100, status="low_quality" if n > 60 else "observed") for n in range(100)]
        table = table_of(rows)
        assert max(m.frame for m in top_moments(only_track(table), expressions_in(table))) <= 60

    def test_moments_are_where_the_label_is_decided(self):
        table = two_faces_with_gaps(200)
        track = only_track(table)
        words = dict(zip(track.rows["frame"].to_pylist(), track.rows["expression"].to_pylist(), strict=True))
        moments = top_moments(track, expressions_in(table))
        assert moments
        assert all(words[m.frame] == m.label.value for m in moments)

    def test_many_tracks_share_the_pictures(self):
        assert moments_per_expression(1, 8) == 3
        assert moments_per_expression(4, 8) == 2
        assert moments_per_expression(8, 8) == 1


class TestPictures:
    def test_the_face_is_in_the_middle(self):
        rgb = np.zeros((240, 320, 3), np.uint8)
        rgb[100:140, 150:190] = 255
        cut = cut_face(rgb, (150, 100, 190, 140))
        assert cut.shape == (THUMBNAIL_PX, THUMBNAIL_PX, 3)
        rows, columns = np.nonzero(cut[:, :, 0] > 128)
        assert (rows.mean(), columns.mean()) == pytest.approx((THUMBNAIL_PX / 2,) * 2, abs=2)

    def test_at_an_edge_the_cut_stays_inside(self):
        rgb = np.full((100, 200, 3), 200, np.uint8)
        assert cut_face(rgb, (-20, -20, 30, 30)).min() == 200
        assert cut_face(rgb, (-500, -500, 500, 500)).shape == (THUMBNAIL_PX, THUMBNAIL_PX, 3)

    def test_pictures_share_the_room(self, tmp_path):
        source = noise(tmp_path, [(400, 300)] * 6)
        whole = image_pictures(source, range(6), 10_000_000)
        assert {size_of(address) for address, _ in whole.values()} == {(400, 300)}
        most = sum(len(address) for address, _ in whole.values()) // 3
        reduced = image_pictures(source, range(6), most)
        assert sorted(reduced) == list(range(6))
        assert {own for _, own in reduced.values()} == {(400, 300)}
        assert all(max(size_of(address)) < 400 for address, _ in reduced.values())
        assert sum(len(address) for address, _ in reduced.values()) <= most

    def test_what_small_pictures_leave_goes_to_large_ones(self, tmp_path):
        source = noise(tmp_path, [(20, 20), (20, 20), (400, 300)])
        most = len(image_pictures(source, [2], 10_000_000)[2][0]) + 5000
        assert size_of(image_pictures(source, range(3), most)[2][0]) == (400, 300)

    def test_without_room_pictures_are_left_out(self, tmp_path):
        source = noise(tmp_path, [(400, 300), (8, 8), (400, 300)])
        assert sorted(image_pictures(source, range(3), 3000)) == [1]
        assert image_pictures(source, range(3), 0) == {}

    def test_the_address_is_a_jpeg_of_the_picture(self):
        rgb = np.zeros((32, 32, 3), np.uint8)
        rgb[:, :, 0] = 250
        kind, data = jpeg_address(rgb).split(",")
        assert kind == "data:image/jpeg;base64"
        bgr = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
        assert bgr.mean(axis=(0, 1)) == pytest.approx((0, 0, 250), abs=8)
