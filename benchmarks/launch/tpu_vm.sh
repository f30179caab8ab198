#!/usr/bin/env bash
# A TPU VM of one host, from your own machine: copies the checkout there, installs, measures and brings the results back.
#
#     benchmarks/launch/tpu_vm.sh my-tpu us-central1-a                      # configs/tiny_gpt.py
#     benchmarks/launch/tpu_vm.sh my-tpu us-central1-a configs/hybrid.yaml policy.compute=bfloat16
#
# It needs gcloud with access to the VM, whose image has Python 3.11, and runs the committed state of the checkout. JAX only; one
# process at a time can hold a TPU, hence --apart.
set -euo pipefail

(( $# >= 2 )) || { echo "usage: $0 NAME ZONE [CONFIG… KEY=VALUE…]" >&2; exit 2; }
name=$1 zone=$2
shift 2
(( $# )) || set -- configs/tiny_gpt.py policy.compute=bfloat16
cd "$(dirname "$0")/../.."

remote() { gcloud compute tpus tpu-vm ssh "$name" --zone "$zone" --command "$1"; }
copy() { gcloud compute tpus tpu-vm scp --zone "$zone" --recurse "$@"; }

archive=$(mktemp --suffix=.tar.gz)
trap 'rm -f "$archive"' EXIT
git archive --output "$archive" HEAD
copy "$archive" "$name:archlab.tar.gz"
remote 'rm -rf archlab && mkdir -p archlab/out && tar -xzf archlab.tar.gz -C archlab && cd archlab &&
  python3.11 -m venv .venv && .venv/bin/pip install --quiet --upgrade "jax[tpu]" && .venv/bin/pip install --quiet -e ".[jax]"'

# %q keeps brackets and spaces of the arguments as they are in the other shell.
arguments=$(printf '%q ' "$@")
remote "cd archlab && .venv/bin/archlab bench $arguments policy.device=tpu --backend jax --apart --decode \
  --json out/bench.json --save out/bench.md --profile out/traces"
remote "cd archlab && for one in archlab-jax plain-nnx; do
  .venv/bin/python benchmarks/train_step.py --device tpu --only \$one --json out/train_step-\$one.json; done"
remote "cd archlab && for one in archlab-jax plain-jax; do
  .venv/bin/python benchmarks/decode.py --device tpu --only \$one --json out/decode-\$one.json; done"

results="benchmarks/results/tpu-$name"
mkdir -p "$results"
copy "$name:archlab/out/*" "$results"
echo "written: $results"
