"""Where the generators run, and in which numbers."""

import torch


def choose_device(device: str | torch.device) -> torch.device:
    if device != "auto":
        return torch.device(device)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def choose_dtype(dtype: str | torch.dtype, device: torch.device) -> torch.dtype:
    if isinstance(dtype, torch.dtype):
        return dtype
    if dtype == "auto":
        if device.type != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    names = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
    if dtype not in names:
        raise ValueError(f"dtype must be 'auto', {', '.join(map(repr, names))} or a torch.dtype; got {dtype!r}.")
    return names[dtype]


def has_bf16() -> bool:
    """Whether this processor computes in bfloat16: AVX-512 or AMX of x86."""
    able = torch.cpu.get_capabilities()  # other architectures do not name these two
    return bool(able.get("avx512_bf16") or able.get("amx_tile"))
