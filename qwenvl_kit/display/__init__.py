"""Display: values as short text, as safe HTML and as pictures; building blocks that know no value."""
