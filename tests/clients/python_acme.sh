#!/bin/bash
# certbot's library `acme`, by a program of ours: http-01 by files in a folder that a web server serves.
. "$CLIENTS/checks.sh"
export REQUESTS_CA_BUNDLE=$ROOT
serve_challenges
run() { "$CLIENTS/python" "$CLIENTS/python_acme.py" "$@"; }

step register, and change the contact
run register
run contact mailto:others@example.org

step obtain
run obtain first.pem python.example.com www.python.example.com
issued first.pem python.example.com www.python.example.com

step renew
run obtain second.pem python.example.com www.python.example.com
issued second.pem python.example.com www.python.example.com
renewed first.pem second.pem

step revoke
run revoke first.pem 4
revoked first.pem

step deactivate the account
run deactivate
if run obtain third.pem python.example.com 2>refusal; then
  echo "a deactivated account got a certificate"
  exit 1
fi
grep --fixed-strings urn:ietf:params:acme:error:unauthorized refusal
