"""Diagnostics of features: what they know of the labels, which rows leak, which labels to doubt."""

from tasks.compute.diagnostics.diagnose import Rows, Settings, diagnose
from tasks.compute.diagnostics.report import Diagnostics, Leak, Share, SplitScore, Suspect

__all__ = [
    "Diagnostics",
    "Leak",
    "Rows",
    "Settings",
    "Share",
    "SplitScore",
    "Suspect",
    "diagnose",
]
