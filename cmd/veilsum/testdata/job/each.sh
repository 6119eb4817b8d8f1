#!/bin/sh
# Runs "veilsum ARGS --state DIR" for every vehicle's directory.
for v in vehicles/*; do
  veilsum "$@" --state "$v" || exit $?
done
