"""The grid on SLURM: `python examples/slurm.py p3mnet_r34 --profile gpu --jobs 8` keeps 8 jobs of one GPU each at work.

Run it where jobs may be queued from, in the environment of the project, with `pip install dask-jobqueue` (0.9.0 was tried). What
is no option of its own goes to `python -m p3mlib train`; folders are the same everywhere: P3M_HOME and what else README names.
`--print` shows the script that is queued and queues nothing. Partition, account and the like: `--directive=--partition=gpu`.
"""

import argparse
import sys

from dask_jobqueue import SLURMCluster

from p3mlib.__main__ import main


def cluster(options, **more):
    """SLURMCluster whose jobs are workers as `train --scheduler` needs them: one run at a time, no nanny."""
    return SLURMCluster(
        cores=1,  # threads of a worker, not CPUs
        processes=1,
        nanny=False,
        job_cpu=options.cpus,
        memory=f"{options.memory}GB",
        walltime=options.walltime,
        worker_extra_args=["--resources", ",".join(["GPU=1"] * options.gpus + [f"MEMORY={options.memory}e9"])],
        job_extra_directives=[f"--gres=gpu:{options.gpus}"] * bool(options.gpus) + options.directive,
        **more,
    )


def parse(arguments):
    """(options of the cluster, list of what `train` takes)."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=4, help="kept at work, each with one worker")
    parser.add_argument("--gpus", type=int, default=1, choices=(0, 1), help="of a job; 0: runs on CPUs, where no worker has one")
    parser.add_argument("--cpus", type=int, default=5, help="of a job: one trains, the profiles' four load data")
    parser.add_argument("--memory", type=int, default=32, help="GB of a job")
    parser.add_argument("--walltime", default="12:00:00", help="of a job; a run that it cuts off goes on in the next one")
    parser.add_argument("--directive", action="append", default=[], help="one more of sbatch's options")
    parser.add_argument("--print", action="store_true", help="show the job's script and end")
    return parser.parse_known_args(arguments)


if __name__ == "__main__":
    options, rows = parse(sys.argv[1:])
    with cluster(options) as jobs:
        if options.print:
            print(jobs.job_script())
            sys.exit()
        jobs.adapt(minimum_jobs=options.jobs, maximum_jobs=options.jobs)  # a job that ends is queued again
        sys.exit(main(["train", *rows, "--scheduler", jobs.scheduler_address]))
