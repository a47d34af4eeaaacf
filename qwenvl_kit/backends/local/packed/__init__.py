"""Linear layers whose weights are packed in 8 or 4 bits for a processor.

They are put in place of `torch.nn.Linear` after transformers has loaded a model, and compute by
kernels that torch ships: FBGEMM in 8 bits, ATen's `_weight_int4pack_mm_for_cpu` in 4.
"""
