"""Results that are kept, and one file of HTML that tells a study to those who read it."""

from skdnn.report._report import Report
from skdnn.report._results_file import Results, load_results, save_results

__all__ = ["Report", "Results", "load_results", "save_results"]
