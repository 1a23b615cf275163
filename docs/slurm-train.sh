#!/bin/sh
# One training over the ranks of several nodes, which a time limit interrupts and the same command goes on with.
#
#   cargo build --release --features mpi      on a node that has the cluster's MPI, its headers and libclang
#   sbatch docs/slurm-train.sh                train, or go on
#
# One rank a node, with a thread for each of its cores; the data and --out lie where all nodes see them. The number of
# nodes may be another one when the run goes on: the bits do not depend on it.
#SBATCH --job-name=flatnet-train
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=32
#SBATCH --time=01:00:00
#SBATCH --signal=INT@60
#SBATCH --output=train-%j.log

set -eu

run=runs/large
if [ -d "$run/checkpoints" ]; then
    exec srun --cpu-bind=cores target/release/flatnet train --resume "$run"
fi
exec srun --cpu-bind=cores target/release/flatnet train \
    --data /scratch/my-set \
    --layers linear:512,relu,linear:256,relu,linear:10 \
    --batch-size 16384 --parallel samples \
    --optimizer adamw --lr 0.001 --shuffle blocks --epochs 100 \
    --out "$run"
