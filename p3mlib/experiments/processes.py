"""Several processes of one training, as torchrun and accelerate start them: the first decides and writes, the others follow.

A process that was started alone is the first of one, and nothing here waits.
"""

from contextlib import contextmanager
from datetime import timedelta

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, parse_flag_from_env
from filelock import FileLock

PATIENCE = timedelta(days=7)  # the others wait for the first to score; where a process dies, the launcher ends all


def state():
    """accelerate's state of this process: `is_main_process`, `num_processes`, `wait_for_everyone`, ..."""
    cpu = parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.accelerator.is_available()
    return PartialState(cpu=cpu, timeout=PATIENCE)


def agreed(value):
    """What the first process says of `value`, the same in all."""
    return broadcast_object_list([value])[0] if state().num_processes > 1 else value


@contextmanager
def locked(path):
    """A block that no other command enters while the first process holds the lock file; the others enter with the first."""
    if state().is_main_process:
        with FileLock(path):
            state().wait_for_everyone()
            try:
                yield
            finally:
                path.unlink(missing_ok=True)  # while it is held: who waits for it sees that, and makes a new one
    else:
        state().wait_for_everyone()
        yield
