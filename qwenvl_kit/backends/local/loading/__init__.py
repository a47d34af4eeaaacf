"""The loader, and its choices: device, dtype, attention, quantisation, compilation."""
