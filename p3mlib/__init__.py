"""p3mlib: the companion package to "Rethinking Portrait Matting with Privacy Preserving" (IJCV 2023)."""

import os

from p3mlib import _moved, _numba

__version__ = "0.1.0"

# Set before anything of ours imports PyTorch and with it OpenMP: spinning threads of one process starve the others on few cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
_moved.install()
_numba.give_folder()
