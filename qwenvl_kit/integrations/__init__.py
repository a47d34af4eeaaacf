"""Parts of the kit inside other libraries; one module for each of them."""
