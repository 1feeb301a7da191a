#!/bin/bash
# lego, by the challenge that its arguments choose: lego.sh NAMES OPTION...; NAMES are separated by commas.
. "$CLIENTS/checks.sh"
names=$1
shift
export LEGO_CA_CERTIFICATES=$ROOT
export EXEC_PATH=$CLIENTS/dns_record.sh EXEC_POLLING_INTERVAL=1 EXEC_SEQUENCE_INTERVAL=1 EXEC_PROPAGATION_TIMEOUT=30
first=${names%%,*}
domains=()
for name in ${names//,/ }; do domains+=(--domains "$name"); done
options=("$@")
run() { lego --path lego --server "$DIRECTORY" --accept-tos --email tests@example.org "$@"; }
chain=lego/certificates/${first/\*/_}.crt
# Any name will do for the star of a wildcard.
read -ra covered <<<"${names//,/ }"
covered=("${covered[@]/#\*/any}")

step obtain
run "${domains[@]}" "${options[@]}" run
issued "$chain" "${covered[@]}"
cp "$chain" first.pem

step renew
run "${domains[@]}" "${options[@]}" renew --days 3000 --no-random-sleep
issued "$chain" "${covered[@]}"
renewed first.pem "$chain"
cp "$chain" second.pem # revoked ones are put aside

step revoke
run --domains "$first" revoke # names the certificate, by its first name
revoked second.pem
