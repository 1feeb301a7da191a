#!/bin/bash
# Adds and removes TXT records of the tests' DNS server: a file for each name, a line for each value.
#   dns_record.sh present NAME VALUE, dns_record.sh cleanup NAME VALUE   as lego's provider `exec` calls it
#   dns_record.sh certbot-auth, dns_record.sh certbot-cleanup            as hooks of certbot's plugin `manual`
set -euo pipefail
case $1 in
certbot-*) name=_acme-challenge.$CERTBOT_DOMAIN value=$CERTBOT_VALIDATION ;;
*) name=${2%.} value=$3 ;;
esac
file=$DNS_RECORDS/$name
case $1 in
present | certbot-auth) echo "$value" >>"$file" ;;
cleanup | certbot-cleanup)
  { grep --invert-match --fixed-strings --line-regexp -- "$value" "$file" || true; } >"$file.new"
  mv "$file.new" "$file"
  ;;
*)
  echo "expected present, cleanup, certbot-auth or certbot-cleanup, not $1" >&2
  exit 2
  ;;
esac
