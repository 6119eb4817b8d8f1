#!/bin/sh
# Plays round EPOCH up to and including the steps named: open seal close check propose vote answer sum collect.
set -e
epoch=$1
shift
for step in "$@"; do
  case $step in
  open) veilsum round open --epoch $epoch --key collector.pem ;;
  seal) sh each.sh client seal --epoch $epoch --update up.arrow ;;
  close) veilsum round close --epoch $epoch --key collector.pem ;;
  check | vote | answer) for k in 0 1 2; do veilsum committee $step --state d$k --epoch $epoch; done ;;
  propose) veilsum round propose --epoch $epoch --key collector.pem ;;
  sum) veilsum batch sum --epoch $epoch ;;
  collect) veilsum round collect --epoch $epoch --key collector.pem ;;
  esac
done
