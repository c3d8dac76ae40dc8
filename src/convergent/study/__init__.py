"""A study: a validated YAML file becomes a run folder of nets, statistics, tables and crops."""

from .cause import CauseStudy
from .demo import demo_study
from .depth import DepthStudy
from .pairs import PairsStudy
from .residual import ResidualStudy
from .run import run_study
from .spec import Study
from .study_file import load_study

__all__ = [
    "CauseStudy",
    "DepthStudy",
    "PairsStudy",
    "ResidualStudy",
    "Study",
    "demo_study",
    "load_study",
    "run_study",
]
