"""CIFAR-10: four nets of one anatomy from four seeds, and every experiment of Li et al. (2016) on them.

    python replications/cifar10.py --data FOLDER --out runs/cifar10 --docs docs/replications

FOLDER holds `train.parquet` and `test.parquet`, with a column of images and one of labels 0 to 9. Nothing is
downloaded. Nets go to OUT/nets, the run folder is OUT/study, the page is DOCS/cifar10.md; stopped at any moment,
the same command goes on where it was. About 25 minutes on two cores.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from convergent import PairsStudy, run_study, write_report
from convergent.data import HubImages, ImageTraining
from convergent.nets import Recipe, TrainedNet, train_many
from convergent.report import load_run, reproduce_run
from convergent.report.claims import run_claims, run_rows
from convergent.report.reproduction import claims_as_markdown, rows_as_markdown

SEEDS = (1, 2, 3, 4)
# Of each colour over the 50,000 training images, on the scale 0..1.
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)
FIGURES = {
    "2_relu1": "Best and worst pairs of relu1 (Figure 2).",
    "3": "Every unit of net1: its best partner in net2, held out, and its one-to-one partner (Figure 3).",
    "4": "Mean correlation layer by layer, beside untrained nets (Figure 4).",
    "L": "How much of net2 narrower and wider maps from net1 explain, held out and by chance: the ladder.",
    "C": "CKA of every layer with every layer.",
    "U": "How many units all four nets have, some have, one alone has; beneath, in rotated bases.",
    "S4b": "Mutual information against correlation.",
    "T1": "Loss and number of contributors against the penalty (Table 1).",
    "6b_relu1": "Units of net2 with those of net1 that predict them (Figure 6).",
    "6c": "How many units it takes to predict one.",
    "7_relu1": "The map of relu1, merged (Figure 7).",
    "S6_relu1": "Clusters of units of relu1 (Figure S6).",
    "S7": "Similarity of clusters between and within nets, beside random clusters (Figure S7).",
    "V_relu1": "What units of relu1 see, and what of it excites them.",
}


def images(folder: Path, split: str) -> HubImages:
    """The images to train on (`train`) or to test and compare on (`test`)."""
    return HubImages.read(folder / f"{split}.parquet", size=32, mean=MEAN, std=STD)


def training(folder: Path) -> ImageTraining:
    """The training images, mirrored and shifted at random, and the test images to report an accuracy on."""
    return ImageTraining.of(images(folder, "train"), images(folder, "test"), name="cifar10", shift=2)


def recipe(seed: int) -> Recipe:
    """Eleven and a half times through the training images: what half an hour on two cores allows."""
    return Recipe(
        seed=seed,
        data="cifar10",
        n_steps=9_000,
        batch_size=64,
        learning_rate=2e-3,
        warmup=0.05,
        weight_decay=0.1,
    )


def nets(data: Path, out: Path) -> dict[str, TrainedNet]:
    """Train the four nets, two at a time, or take those that are there."""
    recipes = {f"net{seed}": recipe(seed) for seed in SEEDS}
    return train_many(recipes, out / "nets", data=training(data), n_processes=2)


def study(data: Path, trained: Mapping[str, TrainedNet]) -> PairsStudy:
    """All experiments, on the 10,000 test images."""
    return PairsStudy.model_validate(
        {
            "name": "cifar10",
            "data": {
                "kind": "hub",
                "path": (data / "test.parquet").resolve(),
                "size": 32,
                "mean": MEAN,
                "std": STD,
            },
            "nets": {
                name: {"factory": "alexnet_small", "checkpoint": net.path.resolve()}
                for name, net in trained.items()
            },
            "layers": ["relu*", "fc8"],
            "batch_size": 250,
        }
    )


def write_page(run_folder: Path, trained: Mapping[str, TrainedNet], docs: Path) -> Path:
    """The page with claims, figures and numbers; figures lie beside it in `cifar10/`."""
    run = load_run(run_folder)
    accuracies = ", ".join(f"{100 * net.accuracy:.1f}" for net in trained.values())
    introduction = (
        "Four nets `alexnet_small` trained on CIFAR-10 from four seeds "
        f"({accuracies} % of the test images correct), compared on all 10,000 test images. Made by one command, "
        "with the data as Parquet files (`train.parquet`, `test.parquet`) in a folder:\n\n"
        "    python replications/cifar10.py --data FOLDER --out runs/cifar10 --docs docs/replications\n\n"
        "The paper compared CaffeNets trained on ImageNet, so levels differ; what can be compared is which claims "
        "hold, and the pattern over layers."
    )
    figures = []
    (docs / "cifar10").mkdir(parents=True, exist_ok=True)
    for name, caption in FIGURES.items():
        with Image.open(run_folder / "figures" / f"figure{name}.png") as picture:
            picture.convert("RGB").save(docs / "cifar10" / f"{name}.webp", quality=85, method=6)
        figures.append(f"{caption}\n\n![{caption}](cifar10/{name}.webp)")
    parts = [
        "# Li et al. (2016) on CIFAR-10",
        introduction,
        claims_as_markdown(run_claims(run)),
        "## Figures",
        *figures,
        rows_as_markdown(list(run_rows(run))),
    ]
    page = docs / "cifar10.md"
    page.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return page


def main() -> None:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of train.parquet and test.parquet")
    parser.add_argument("--out", type=Path, default=Path("runs/cifar10"), help="where nets and results go")
    parser.add_argument("--docs", type=Path, default=Path("docs/replications"), help="where the page goes")
    asked = parser.parse_args()
    trained = nets(asked.data, asked.out)
    for name, net in trained.items():
        print(f"{name}: {net.accuracy:.2%} of the test images are classified correctly")
    folder = run_study(study(asked.data, trained), asked.out / "study", resume=True)
    print(f"The report is {write_report(folder, n_processes=2)}")
    print(f"The numbers are in {reproduce_run(folder)}")
    print(f"The page is {write_page(folder, trained, asked.docs)}")


if __name__ == "__main__":
    main()
