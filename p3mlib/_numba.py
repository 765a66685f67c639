"""Where numba keeps what it compiles, settled before anything imports it."""

import atexit
import contextlib
import importlib.util
import os
import shutil
import tempfile


def _writable(folder):
    try:
        os.makedirs(folder, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def give_folder():
    """Name a temporary folder in NUMBA_CACHE_DIR where numba would find none to keep compiled code in, and stop every import.

    It writes beside the source, ours and PyMatting's, else into the user's cache; a container may allow neither.
    """
    pymatting = importlib.util.find_spec("pymatting")
    sources = [__file__, pymatting.origin] if pymatting else [__file__]
    beside = [os.path.join(os.path.dirname(source), "__pycache__") for source in sources]
    cache = os.path.expanduser(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    if os.environ.get("NUMBA_CACHE_DIR") or all(map(_writable, beside)):
        return
    if os.path.isabs(cache) and _writable(os.path.join(cache, "numba")):
        return
    with contextlib.suppress(OSError):
        os.environ["NUMBA_CACHE_DIR"] = tempfile.mkdtemp(prefix="p3mlib-numba-")
        atexit.register(shutil.rmtree, os.environ["NUMBA_CACHE_DIR"], ignore_errors=True)
