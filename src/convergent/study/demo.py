"""The study that `convergent demo` runs."""

from .pairs import PairsStudy
from .spec import NetSpec, PhotoDigitsSpec, TrainSpec


def demo_study() -> PairsStudy:
    """Four small AlexNets from different seeds, compared on 4,000 held-out digits on photographs."""
    return PairsStudy(
        name="demo",
        data=PhotoDigitsSpec(kind="photo-digits"),
        nets={f"net{i}": NetSpec(factory="alexnet_small", train=TrainSpec(seed=i)) for i in range(1, 5)},
        layers=["relu*", "fc8"],
        batch_size=256,
    )
