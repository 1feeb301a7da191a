#!/bin/bash
# uacme's hook: METHOD TYPE IDENT TOKEN AUTH. Takes http-01 and declines all others.
set -euo pipefail
[ "$2" = http-01 ] || exit 1
file=www/.well-known/acme-challenge/$4
case $1 in
begin) printf %s "$5" >"$file" ;;
*) rm "$file" ;;
esac
