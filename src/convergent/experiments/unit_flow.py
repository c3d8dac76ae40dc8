"""Which rule tells what a function of torch does to the axes of units: it ties, keeps or fixes them.

A rule takes a `Step` and gives the axes of its outputs. What is not in the table has no rule.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from . import unit_maps as maps
from . import unit_moves as moves
from .unit_steps import Axes, Step

Rule: TypeAlias = Callable[[Step], Sequence[Axes]]


_TABLE: Sequence[tuple[Rule, str]] = (
    (
        maps.elementwise,
        "add radd iadd sub rsub isub subtract mul rmul imul multiply div rdiv truediv rtruediv itruediv "
        "divide true_divide floordiv floor_divide remainder mod pow rpow ipow neg negative abs absolute "
        "relu relu6 gelu silu sigmoid tanh hardtanh hardswish hardsigmoid leaky_relu elu selu celu "
        "softplus softsign mish logsigmoid log_sigmoid hardshrink softshrink tanhshrink threshold rrelu "
        "clamp clip clamp_min clamp_max minimum maximum exp exp2 expm1 log log2 log10 log1p sqrt rsqrt "
        "square reciprocal sin cos erf sign round floor ceil trunc where masked_fill lerp addcmul addcdiv "
        "nan_to_num eq ne lt le gt ge and or xor invert logical_and logical_or logical_not logical_xor "
        "isnan isinf isfinite bitwise_and bitwise_or bitwise_not",
    ),
    (
        maps.same,
        "dropout alpha_dropout feature_dropout feature_alpha_dropout dropout1d dropout2d dropout3d clone "
        "contiguous detach data requires_grad to type type_as float double half bfloat16 int long bool cpu "
        "cuda alias zeros_like ones_like full_like softmax log_softmax softmin normalize",
    ),
    (maps.prelu, "prelu"),
    (
        maps.pool,
        "max_pool1d max_pool2d max_pool3d max_pool1d_with_indices max_pool2d_with_indices "
        "max_pool3d_with_indices avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d "
        "adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d "
        "adaptive_max_pool2d_with_indices lp_pool1d lp_pool2d interpolate upsample",
    ),
    (moves.made, "new_zeros new_ones new_full new_empty new_tensor"),
    (moves.pad, "pad"),
    (
        maps.reduce,
        "mean sum amax amin var std logsumexp nanmean nansum norm linalg_vector_norm count_nonzero",
    ),
    (maps.extreme, "max min"),
    (maps.ranked, "argmax argmin topk sort argsort median kthvalue cumsum cumprod flip roll"),
    (maps.written, "setitem"),
    (maps.linear, "linear"),
    (maps.conv, "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d"),
    (maps.batch_norm, "batch_norm instance_norm"),
    (maps.layer_norm, "layer_norm rms_norm"),
    (maps.group_norm, "group_norm"),
    (maps.response_norm, "local_response_norm"),
    (maps.embedding, "embedding"),
    (maps.matmul, "matmul rmatmul bmm mm mv dot"),
    (maps.addmm, "addmm baddbmm"),
    (maps.einsum, "einsum"),
    (maps.attention, "scaled_dot_product_attention"),
    (maps.many_heads, "multi_head_attention_forward"),
    (moves.order, "transpose swapaxes swapdims permute movedim moveaxis t T mT"),
    (moves.expand, "expand expand_as broadcast_to"),
    (moves.reshape, "view reshape view_as reshape_as flatten unflatten squeeze unsqueeze"),
    (moves.concatenate, "cat concat concatenate"),
    (moves.stack, "stack"),
    (moves.pieces, "chunk split split_with_sizes tensor_split"),
    (moves.unbind, "unbind select"),
    (moves.index, "getitem"),
    (moves.narrow, "narrow"),
)

_RULES = {name: rule for rule, names in _TABLE for name in names.split()}


def rule_of(name: str) -> Rule | None:
    """The rule of a function, by its name; None where there is none."""
    return _RULES.get(name)
