#!/bin/bash
# uacme: http-01 by a hook. It has no option for a file of roots and takes the system's: here, in a mount namespace of
# its own, with the root of the tests.
. "$CLIENTS/checks.sh"
trusted=/etc/ssl/certs/ca-certificates.crt
if [ -z "${IN_NAMESPACE:-}" ]; then
  namespace=(unshare --mount)
  [ "$(id -u)" = 0 ] || namespace=(unshare --user --map-root-user --mount)
  if ! "${namespace[@]}" true; then
    echo "uacme can be tested only where \`${namespace[*]}\` is allowed, since it trusts the system's roots alone"
    exit 1
  fi
  IN_NAMESPACE=yes exec "${namespace[@]}" "$0"
fi
cat "$trusted" "$ROOT" >trusted.crt
mount --bind trusted.crt "$trusted"
serve_challenges
run() { uacme --verbose --confdir uacme --acme-url "$DIRECTORY" --hook "$CLIENTS/uacme_hook.sh" "$@"; }
chain=uacme/uacme.example.com/cert.pem

step obtain
run --yes new tests@example.org
run issue uacme.example.com www.uacme.example.com
issued "$chain" uacme.example.com www.uacme.example.com
cp "$chain" first.pem

step change the account\'s key
cp uacme/private/key.pem old.pem
run newkey
if cmp --silent old.pem uacme/private/key.pem; then echo "the key is the old one"; exit 1; fi

step renew, with the new key
run --force issue uacme.example.com www.uacme.example.com
issued "$chain" uacme.example.com www.uacme.example.com
renewed first.pem "$chain"
cp "$chain" second.pem # revoked ones are put aside

step revoke
run revoke "$chain"
revoked second.pem

step deactivate the account
run deactivate
