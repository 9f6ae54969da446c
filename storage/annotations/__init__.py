"""Ground truth: what is known to be in images, from rendered scenes or from label files."""
