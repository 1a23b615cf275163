#!/bin/sh
# A sweep as an array of Slurm jobs: each job runs its part of the same list, into one folder that all nodes see.
#
#   sbatch docs/slurm-sweep.sh            run it, or go on with it
#   flatnet sweep ... (as below, without --shard)     the table of all runs, once the jobs are done
#
# --array counts from 1, as --shard does. Runs that are complete are not run again, so the same script after a time
# limit or a broken node does what is missing. Without Slurm: parallel flatnet sweep ... --shard {}/8 ::: $(seq 8)
#SBATCH --job-name=flatnet-sweep
#SBATCH --array=1-8
#SBATCH --cpus-per-task=8
#SBATCH --mem=4G
#SBATCH --time=01:00:00
#SBATCH --signal=B:INT@60
#SBATCH --output=sweep-%A-%a.log

set -eu

# A job has so many runs at a time as it has cores. The shell gives way to flatnet, which so hears of the time limit.
exec flatnet sweep \
    --grid lr=0.003,0.01,0.03 \
    --grid layers='linear:10,relu;linear:64,relu,linear:10' \
    --seeds 0..9 \
    --out runs/sweep \
    --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" \
    -- --data data/mnist --epochs 50 --no-report
