"""A device that is not there: tensors that say `cuda:0`, and refuse what a GPU would refuse.

Their values lie on the processor, so answers can be compared with the processor's. Torch is
patched for a whole process, so all of this runs in a child: `python -m tests.pretended_device`.

Not covered: kernels, the arithmetic of a GPU, its memory and streams, flash-attn, fla,
bitsandbytes, compilation, gradients.
"""
