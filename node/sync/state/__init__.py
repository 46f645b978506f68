"""Dynamic state sync: the whole account state while the chain keeps moving."""
