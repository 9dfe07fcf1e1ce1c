#!/bin/sh
# Starts nginx with the name server that this container was given.
set -eu
resolver=$(awk '/^nameserver/ { print $2; exit }' /etc/resolv.conf)
sed "s/RESOLVER/$resolver/" /etc/candlewire/nginx.conf >/tmp/nginx.conf
exec nginx -e stderr -c /tmp/nginx.conf
