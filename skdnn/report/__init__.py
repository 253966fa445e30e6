"""Results that are kept, and one file of HTML that tells a study to those who read it."""

from skdnn.report._page import Report
from skdnn.report._result import Result
from skdnn.report._results import Results, load_results

__all__ = ["Report", "Result", "Results", "load_results"]
