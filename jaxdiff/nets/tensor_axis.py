"""Tensor axis: how the parameters of a U-Net's blocks are cut over devices."""

__all__ = ["tensor_axis"]

COLUMNS, ROWS = ("conv1", "embed", "norm2", "query", "key", "value"), ("conv2", "out")


def tensor_axis(names: tuple[str, ...], shape: tuple[int, ...]) -> int | None:
    """The axis along which to cut a parameter, to spread the channels of a block over devices (Shoeybi et al. 2019).

    What widens into the block is cut by its outputs, what leaves it by its inputs: one sum over devices a block.
    """
    if len(names) < 2:
        return None
    if names[-2] in COLUMNS:
        return len(shape) - 1
    return len(shape) - 2 if names[-2] in ROWS and names[-1] == "kernel" else None
