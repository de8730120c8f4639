"""The report: one page with the video, interactive charts and all that they rest on."""

from affectline.report.page.player import PREVIEW_NAME
from affectline.report.page.write import REPORT_NAME, check_video, require_extra, write_report

__all__ = ["PREVIEW_NAME", "REPORT_NAME", "check_video", "require_extra", "write_report"]
