#!/bin/bash
# certbot: http-01 by its own web server, two names.
. "$CLIENTS/checks.sh"
export REQUESTS_CA_BUNDLE=$ROOT
run() { certbot "$@" --non-interactive --config-dir config --work-dir work --logs-dir logs; }
chain=config/live/certbot.example.com/fullchain.pem

step obtain
run certonly --standalone --http-01-port "$HTTP_PORT" --server "$DIRECTORY" \
  --agree-tos --register-unsafely-without-email -d certbot.example.com -d www.certbot.example.com
issued "$chain" certbot.example.com www.certbot.example.com
cp "$chain" first.pem

step change the contact
run update_account --server "$DIRECTORY" --email tests@example.org
run show_account --server "$DIRECTORY" | grep --fixed-strings tests@example.org

step renew
run renew --force-renewal --no-random-sleep-on-renew
issued "$chain" certbot.example.com www.certbot.example.com
renewed first.pem "$chain"

step revoke
run revoke --server "$DIRECTORY" --cert-name certbot.example.com --reason superseded --no-delete-after-revoke
revoked "$chain"

step deactivate the account
run unregister --server "$DIRECTORY"
