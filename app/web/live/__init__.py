"""Live pages: the store read after a cursor whenever the doorbell rings, encoded once, sent to every reader."""
