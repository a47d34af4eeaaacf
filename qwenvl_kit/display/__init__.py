"""Display: short text, safe HTML, pictures and plots of plain values."""
