"""CIFAR-10: four nets of one anatomy from four seeds, for the replication of Li et al. (2016) on photographs.

    python replications/cifar10.py --data FOLDER --out runs/cifar10

FOLDER holds `train.parquet` and `test.parquet`, with a column of images and one of labels 0 to 9. Nothing is
downloaded. The nets go to OUT/nets; stopped at any moment, the same command goes on where it was. About 20 minutes
on two cores.
"""

import argparse
from pathlib import Path

from convergent.data import HubImages, ImageTraining
from convergent.nets import Recipe, TrainedNet, train_many

SEEDS = (1, 2, 3, 4)
# Of each colour over the 50,000 training images, on the scale 0..1.
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)


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


def main() -> None:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of train.parquet and test.parquet")
    parser.add_argument("--out", type=Path, default=Path("runs/cifar10"), help="where everything goes")
    asked = parser.parse_args()
    for name, trained in nets(asked.data, asked.out).items():
        print(f"{name}: {trained.accuracy:.2%} of the test images are classified correctly")


if __name__ == "__main__":
    main()
