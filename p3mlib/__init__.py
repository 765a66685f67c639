"""p3mlib: the companion package to "Rethinking Portrait Matting with Privacy Preserving" (IJCV 2023)."""

__version__ = "0.1.0"
