"""What the page's script is told beside the numbers of the charts."""

from __future__ import annotations

import pytest
from finished_results import moving_row, one_face
from result_tables import table_of

from affectline.report.page.payload import covered_span
from affectline.report.series import make_grid
from affectline.video import Sampling
from raw_tables import provenance


@pytest.mark.parametrize(
    ("sampling", "is_complete", "span"),
    [
        (Sampling(), True, [None, None]),
        (Sampling(start_s=4.0), True, [4.0, None]),
        (Sampling(end_s=6.0), True, [None, 6.0]),
        (Sampling(start_s=4.0, end_s=6.0), True, [4.0, 6.0]),
        (Sampling(end_s=9.0), True, [None, None]),
        (Sampling(), False, [None, 6.0]),
    ],
)
def test_what_was_analysed_is_bounded_where_something_was_left_out(
    sampling: Sampling, is_complete: bool, span: list[float | None]
) -> None:
    grid = make_grid(table_of([moving_row(n, of=200) for n in range(100, 150)]))
    told = provenance(sampling=sampling, is_complete=is_complete, duration_s=8.0)
    assert covered_span(grid, told) == pytest.approx(span)


def test_an_end_without_a_known_length_is_an_end() -> None:
    assert covered_span(make_grid(one_face(50)), provenance(sampling=Sampling(end_s=2.0), duration_s=None)) == [
        None,
        2.0,
    ]
