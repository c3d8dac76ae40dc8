"""CIFAR-10: families of nets from four seeds each; the studies of depth, of residual streams and of cause on them.

    python replications/cifar10_families.py --data FOLDER --out runs/cifar10-families --docs docs/replications

FOLDER holds `train.parquet` and `test.parquet`, with a column of images and one of labels 0 to 9. Nothing is
downloaded. Nets go to OUT/nets, run folders beside them, pages into DOCS; stopped at any moment, the same command
goes on where it was. An hour on two cores, nearly all of it training.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from cifar10 import MEAN, STD, training
from publish import publish

from convergent import load_study, run_study, write_report
from convergent.nets import Recipe, train_many

SEEDS = (1, 2, 3, 4)
N_STEPS = 2500
# The highest learning rate of each family. `cifar10.py` is about alexnet_small, which needs more steps.
RECIPES = {
    "vgg": ("vgg_small", 0.002),
    "inception": ("inception_small", 0.003),
    "resnet": ("resnet_small", 0.003),
}
STUDIES = Path(__file__).resolve().parents[1] / "studies"


def recipe(family: str, seed: int) -> Recipe:
    """Three times through the training images: what an hour on two cores allows."""
    net, rate = RECIPES[family]
    return Recipe(
        seed=seed,
        net=net,
        data="cifar10",
        n_steps=N_STEPS,
        batch_size=64,
        learning_rate=rate,
        warmup=0.1,
        weight_decay=0.1,
    )


def study_file(kind: str, data: Path, nets: Path, out: Path) -> Path:
    """The study of `studies/KIND.yaml` on CIFAR-10: the same questions, nets by their files."""
    study: dict[str, Any] = yaml.safe_load((STUDIES / f"{kind}.yaml").read_text(encoding="utf-8"))
    del study["nets_folder"]
    study["name"] = f"cifar10-{kind}"
    study["data"] = images(data / "test.parquet", study["data"])
    if "fit" in study:
        study["fit"] = images(data / "train.parquet", study["fit"])
    study["families"] = {name: family for name, family in study["families"].items() if name in RECIPES}
    for name, family in study["families"].items():
        seeds = family.pop("seeds")
        family.pop("train", None)
        family["checkpoints"] = [str((nets / f"{name}{seed}.safetensors").resolve()) for seed in seeds]
    path = out / f"{kind}.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
    return path


def images(path: Path, instead_of: Mapping[str, Any]) -> dict[str, Any]:
    """As many images of a Parquet file as the study has of its own."""
    split = f"rows[:{instead_of['n']}]"
    return {"kind": "hub", "path": str(path.resolve()), "split": split, "size": 32, "mean": MEAN, "std": STD}


def page(kind: str, run: Path, accuracies: Mapping[str, list[float]], docs: Path) -> Path:
    """The findings of one study, with how the nets were made."""
    told = "; ".join(
        f"{family} {', '.join(f'{100 * one:.1f}' for one in values)} %" for family, values in accuracies.items()
    )
    introduction = (
        f"`studies/{kind}.yaml` on CIFAR-10: nets of {len(RECIPES)} families from four seeds each, trained on the "
        f"50,000 training images, mirrored and shifted by up to two pixels ({N_STEPS:,} steps of 64, about three "
        f"times through them), compared on test images. Test images correct: {told}. Made by one command, with "
        "the data as Parquet files in a folder:\n\n"
        "    python replications/cifar10_families.py --data FOLDER --out runs/cifar10-families "
        "--docs docs/replications"
    )
    return publish(run, docs / f"cifar10_{kind}.md", introduction)


def main() -> None:
    """Nets, studies, pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with train.parquet and test.parquet")
    parser.add_argument("--out", type=Path, default=Path("runs/cifar10-families"))
    parser.add_argument("--docs", type=Path, default=Path("docs/replications"))
    asked = parser.parse_args()
    nets = asked.out / "nets"
    recipes = {f"{family}{seed}": recipe(family, seed) for family in RECIPES for seed in SEEDS}
    trained = train_many(recipes, nets, data=training(asked.data), n_processes=2)
    accuracies = {family: [trained[f"{family}{seed}"].accuracy for seed in SEEDS] for family in RECIPES}
    for kind in ("deep", "residual", "cause"):
        file = study_file(kind, asked.data, nets, asked.out)
        run = run_study(load_study(file), asked.out / kind, resume=True)
        write_report(run)
        print(page(kind, run, accuracies, asked.docs))


if __name__ == "__main__":
    main()
