"""Where the results of a run come from: versions, seeds, hashes, accuracies."""

import json
import platform
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch

from ..batch import Inputs
from ..extraction import Lockstep
from ..files import replacing
from .spec import Study
from .subjects import Subject


def write_provenance(
    study: Study, source: Lockstep, subjects: Mapping[str, Subject], inputs: Inputs, folder: Path
) -> None:
    """Write `provenance.json` into a run folder."""
    nets = {
        name: {
            "weights": subject.weights,
            "factory": subject.factory,
            "trained": subject.trained,
            "seed": subject.seed,
            "accuracy": subject.accuracy,
            "n_parameters": sum(parameter.numel() for parameter in subject.net.parameters()),
        }
        for name, subject in subjects.items()
    }
    said = {package: version(package) for package in ("convergent", "torch", "numpy", "scipy", "scikit-learn")} | {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}, {torch.get_num_threads()} threads",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["convergent", *sys.argv[1:]]),
        "data": inputs.fingerprint,
        "view": source.fingerprint.view,
        "n_inputs": len(inputs),
        "blocks": study.blocks,
        "nets": nets,
    }
    with replacing(folder / "provenance.json") as temporary:
        temporary.write_text(json.dumps(said, indent=2), encoding="utf-8")
