"""From the store's objects to what templates may use. Texts of sandboxes are made visible here and nowhere else."""
