"""Compare any two modules on any data: here, two perceptrons that meet a permutation and a rotation."""

import torch
from torch import nn

import convergent as cv


def main() -> None:
    """Plant a permuted and a rotated copy of a net's hidden units, and see what unit matching makes of them."""
    torch.manual_seed(0)
    first, same, turn = nn.Linear(20, 16), nn.Linear(20, 16), nn.Linear(16, 16, bias=False)
    order, rotation = torch.randperm(16), torch.linalg.qr(torch.randn(16, 16)).Q
    same.load_state_dict({name: value[order] for name, value in first.state_dict().items()})
    turn.load_state_dict({"weight": rotation})
    nets = {
        "original": nn.Sequential(first, nn.ReLU()),
        "permuted": nn.Sequential(same, nn.ReLU()),
        "rotated": nn.Sequential(first, nn.ReLU(), turn),
    }

    # Any iterable of batches that does not shuffle will do, a DataLoader for instance.
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.randn(2000, 20)), batch_size=100)
    moments = cv.collect(cv.Lockstep(nets, loader, layers=["output"]), {"moments": cv.MomentsPlan()})["moments"]

    for other in ("permuted", "rotated"):
        best = cv.match_best(moments.pair("original/output", f"{other}/output"))
        print(f"original with {other}: mean r of the best partner {best.mean:.3f}")


if __name__ == "__main__":
    main()
