# Whether Redis has read its files and answers; its password is on no command line.
REDISCLI_AUTH="$(sed -n 's/^requirepass //p' /run/secrets/redis_conf)" redis-cli ping | grep -q PONG
