# For bash: whether MongoDB answers `{hello: 1}`, which needs no password. It is asked as drivers ask
# (OP_MSG), since its own shell takes a second of CPU; and at the container's own address, since the
# process that sets it up, without passwords, is at 127.0.0.1 alone.
set -eu
exec 3<>"/dev/tcp/$HOSTNAME/27017"
header='\x34\0\0\0\1\0\0\0\0\0\0\0\xdd\7\0\0\0\0\0\0\0' # 52 bytes, request 1, OP_MSG, no flags
printf "$header"'\x1f\0\0\0\x10hello\0\1\0\0\0\2$db\0\6\0\0\0admin\0\0' >&3
LC_ALL=C IFS= read -r -n 1 -t 5 -u 3
