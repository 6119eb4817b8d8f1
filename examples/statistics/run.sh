#!/bin/sh
# Plays the example in FOLDER: run.sh FOLDER PYTHON. See README.md.
set -e
here=$(cd "$(dirname "$0")" && pwd)
python=$2
mkdir -p "$1"
cd "$1"
export VEILSUM_STORE=file:store

VEILSUM_OWNER=$(veilsum key new owner.pem)
collector=$(veilsum key new collector.pem)
authority=$(veilsum key new authority.pem)
export VEILSUM_OWNER
keys=
for k in 0 1 2 3; do
  keys="$keys, \"$(veilsum committee init --state d$k)\""
done
cat >base.yaml <<YAML
scope: {name: wrists, population: slices of the recordings of ten people's wrists, epsilon: 12, delta: 1e-5}
privacy: {noise_multiplier: 1}
batch: {min_batch_size: 20, max_batch_size: 40, max_dishonest: 2}
committee: {size: 4, threshold: 3, malicious: 1, keys: [${keys#, }]}
collector: "$collector"
authority: "$authority"
YAML

veilsum stats define --file "$here/query.yaml" --base base.yaml --key owner.pem --dry-run
VEILSUM_TASK=$(veilsum stats define --file "$here/query.yaml" --base base.yaml --key owner.pem)
export VEILSUM_TASK
veilsum fleet enroll --new 24 --out vehicles --key authority.pem >enrolled
for k in 0 1 2 3; do
  veilsum committee init --state d$k --epochs 1
done
"$python" "$here/cut.py" "$here/../../cmd/veilsum/data/inertial.arrow" vehicles

veilsum round open --epoch 1 --key collector.pem
for v in vehicles/*/; do
  v=${v%/}
  veilsum client seal --epoch 1 --values "$v.arrow" --state "$v" >>sealed
done
veilsum round close --epoch 1 --key collector.pem
for k in 0 1 2; do veilsum committee check --state d$k --epoch 1; done
veilsum round propose --epoch 1 --key collector.pem
for k in 0 1 2; do veilsum committee vote --state d$k --epoch 1; done
for k in 0 1 2; do veilsum committee answer --state d$k --epoch 1; done
veilsum batch sum --epoch 1
veilsum stats collect --epoch 1 --out answers.arrow --key collector.pem
veilsum budget show
"$python" "$here/read.py" answers.arrow
