#!/bin/sh
# Makes a job with VEHICLES vehicles (5), EPSILON (20), EPOCHS (1-3): writes env.sh.
set -e
owner=$(veilsum key new owner.pem)
export COLLECTOR=$(veilsum key new collector.pem) AUTHORITY=$(veilsum key new authority.pem)
for k in 0 1 2 3; do
  export D$k=$(veilsum committee init --state d$k)
done
sed -e "s/\$EPSILON/${EPSILON:-20}/; s/\$COLLECTOR/$COLLECTOR/; s/\$AUTHORITY/$AUTHORITY/; s/\$D0/$D0/; s/\$D1/$D1/; s/\$D2/$D2/; s/\$D3/$D3/" task.in >task.yaml
task=$(veilsum task new --file task.yaml --key owner.pem 2>warnings)
export VEILSUM_OWNER=$owner VEILSUM_TASK=$task
veilsum fleet enroll --new ${VEHICLES:-5} --out vehicles --key authority.pem >enrolled
for k in 0 1 2 3; do
  veilsum committee init --state d$k --epochs ${EPOCHS:-1-3} >/dev/null
done
echo "$task" >task.id
echo "$owner" >owner.id
