#!/bin/bash
# dehydrated: http-01 by files in a folder that a web server serves; P-384 keys, an RSA account.
. "$CLIENTS/checks.sh"
mkdir config
cat >config/config <<CONFIG
CA=$DIRECTORY
BASEDIR=$PWD/config
WELLKNOWN=$PWD/www/.well-known/acme-challenge
KEY_ALGO=secp384r1
ACCOUNT_KEYSIZE=2048
CURL_OPTS="--cacert $ROOT"
CONFIG
echo dehydrated.example.com www.dehydrated.example.com >config/domains.txt
serve_challenges
run() { dehydrated --config config/config "$@"; }
folder=config/certs/dehydrated.example.com

step obtain
run --register --accept-terms
run --cron
issued "$folder/fullchain.pem" dehydrated.example.com www.dehydrated.example.com
cp "$folder/fullchain.pem" first.pem

step change the contact
echo CONTACT_EMAIL=tests@example.org >>config/config
run --account

step renew
run --cron --force
issued "$folder/fullchain.pem" dehydrated.example.com www.dehydrated.example.com
renewed first.pem "$folder/fullchain.pem"
cp "$folder/fullchain.pem" second.pem # revoked ones are put aside

step revoke
run --revoke "$folder/cert.pem"
revoked second.pem

step deactivate the account
run --deactivate
