"""p3mlib: the companion package to "Rethinking Portrait Matting with Privacy Preserving" (IJCV 2023)."""

from p3mlib import _moved, _numba

__version__ = "0.1.0"

_moved.install()
_numba.give_folder()
