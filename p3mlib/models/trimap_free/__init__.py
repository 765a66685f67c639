"""Networks that see the image alone: SHM, LF, HATT, MODNet, GFM."""
