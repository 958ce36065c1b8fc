#!/usr/bin/env bash
#SBATCH --job-name=kinewatch-replay
#SBATCH --array=1-8
#SBATCH --cpus-per-task=4
#SBATCH --mem=2G
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --output=%x-%A-%a.log
#
# A replay as a Slurm array: each task runs one shard on a node of its own. A
# task that is requeued (or that ran out of time and is submitted again) goes on
# where it was. The folders must be on a file system that all nodes see.
#
# usage: sbatch --parsable slurm.sh OUT VIDEO|DIR… [--labels FILE …]
# then:  sbatch --dependency=afterany:JOB --wrap='kinewatch report OUT/shard-* -o OUT/whole'
set -euo pipefail

out=$1
shift
mkdir -p "$out"
# Arrays may begin at any number; parts count from 1.
index=$((SLURM_ARRAY_TASK_ID - SLURM_ARRAY_TASK_MIN + 1))
exec kinewatch replay --no-report --jobs "${SLURM_CPUS_PER_TASK:-1}" \
    --shard "$index/$SLURM_ARRAY_TASK_COUNT" -o "$out/shard-$index" "$@"
