#!/bin/sh
# The password comes on standard input, where no list of processes shows it.
exec redis-server /opt/redis/redis.conf - <<CONFIG
requirepass "${REDIS_PASSWORD:-}"
CONFIG
