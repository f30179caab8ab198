#!/usr/bin/env bash
# One GPU of a Slurm node: what archlab bench says of a config, and the comparisons of training steps, decoding and mixers.
#
#     sbatch benchmarks/launch/slurm.sh                          # configs/tiny_gpt.py
#     sbatch --partition=gpu benchmarks/launch/slurm.sh configs/hybrid.yaml policy.compute=bfloat16
#     sbatch benchmarks/launch/slurm.sh configs/llama_1b.yaml --apart --length 4096 --batch 8 policy.compute=bfloat16 \
#       policy.loss_chunk=1024 policy.compile=true
#
# Submit it from the checkout. Results go to benchmarks/results/slurm-<job>; NANOGPT may name a checkout of nanoGPT.
#SBATCH --job-name=archlab-bench
#SBATCH --nodes=1
#SBATCH --gpus-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=00:30:00
#SBATCH --output=%x-%j.log
#SBATCH --exclusive=user
set -euo pipefail

cd "${SLURM_SUBMIT_DIR:?submit this with sbatch, from the checkout}"
(( $# )) || set -- configs/tiny_gpt.py policy.compute=bfloat16
out="benchmarks/results/slurm-$SLURM_JOB_ID"
mkdir -p "$out"
nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.max.sm,power.limit --format=csv | tee "$out/gpu.csv"

srun .venv/bin/archlab bench "$@" policy.device=gpu --backend both --decode \
  --json "$out/bench.json" --save "$out/bench.md" --profile "$out/traces"

peers=()
if [[ -n "${NANOGPT:-}" ]]; then peers=(--peer "nanogpt=$NANOGPT"); fi
srun .venv/bin/python benchmarks/train_step.py --device cuda "${peers[@]}" --json "$out/train_step.json"
srun .venv/bin/python benchmarks/decode.py --device cuda --json "$out/decode.json"
for backend in torch jax; do
  srun .venv/bin/python benchmarks/mixers.py --backend "$backend" --device cuda --compute bfloat16 \
    --width 2048 --head 128 --tokens 65536 --lengths 1024,4096,16384,65536 \
    --only GatedDeltaNet,Mamba2 --naive 0 --json "$out/mixers-$backend.json"
done
