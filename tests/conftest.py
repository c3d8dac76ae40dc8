"""Shape annotations are checked while tests run."""

import os

from hypothesis import settings
from jaxtyping import install_import_hook

# Before the first import of the package, so that every module of it is checked.
install_import_hook("convergent", "beartype.beartype")

os.environ.setdefault("MPLBACKEND", "agg")

# A shared machine is slow at times, and that is not a failure.
settings.register_profile("convergent", deadline=None)
settings.load_profile("convergent")
