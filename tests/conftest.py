"""Shape annotations are checked while tests run."""

import os

import torch
from hypothesis import settings
from jaxtyping import install_import_hook
from threadpoolctl import threadpool_limits

# Before the first import of the package, so that every module of it is checked.
install_import_hook("convergent", "beartype.beartype")

os.environ.setdefault("MPLBACKEND", "agg")

# Workers share the cores, and as many threads in each would wait for each other; what they start inherits it.
if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    threadpool_limits(1)

# A shared machine is slow at times, and that is not a failure.
settings.register_profile("convergent", deadline=None)
settings.load_profile("convergent")
