#!/bin/bash
# certbot: dns-01 by hooks; a wildcard and its parent have two records of one name.
. "$CLIENTS/checks.sh"
export REQUESTS_CA_BUNDLE=$ROOT
run() { certbot "$@" --non-interactive --config-dir config --work-dir work --logs-dir logs; }
chain=config/live/certbot.example.com/fullchain.pem

step obtain
run certonly --manual --preferred-challenges dns --server "$DIRECTORY" \
  --manual-auth-hook "$CLIENTS/dns_record.sh certbot-auth" \
  --manual-cleanup-hook "$CLIENTS/dns_record.sh certbot-cleanup" \
  --agree-tos --register-unsafely-without-email -d certbot.example.com -d '*.certbot.example.com'
issued "$chain" certbot.example.com any.certbot.example.com
cp "$chain" first.pem

step renew
run renew --force-renewal --no-random-sleep-on-renew
issued "$chain" certbot.example.com any.certbot.example.com
renewed first.pem "$chain"

step revoke, signed by the certificate\'s own key
run revoke --server "$DIRECTORY" --cert-path "$chain" --key-path config/live/certbot.example.com/privkey.pem \
  --reason keycompromise --no-delete-after-revoke
revoked "$chain"
