# What a site's container runs: it fetches the version that is wanted, and serves it. When the admin
# cannot be reached it serves the last one that this node had, and goes on asking. Where it is given
# a folder it serves that.
store=/var/lib/site
folder=${BACKPACK_SITE_FOLDER:-}
version=${BACKPACK_SITE_VERSION:-0}
umask 022

say() { echo "backpack: $*" >&2; }

serve() { # serve FOLDER
    ln -s "$1" /tmp/next
    mv -T /tmp/next /tmp/site
}

from_admin() { # from_admin PATH FILE
    timeout 120 wget -q -O "$2" --header "Host: $BACKPACK_ADMIN" \
        --header "authorization: Bearer $(cat /run/secrets/site_token)" "http://admin:3000$1"
}

fetch() { # Puts the version into the store, whole or not at all.
    new=$(mktemp -d "$store/new.XXXXXX")
    mkdir "$new/files"
    if from_admin "/sites/$BACKPACK_STACK/$version" "$new/tar" \
        && tar -x -o -f "$new/tar" -C "$new/files" && chmod -R a+rX "$new/files"
    then
        mv -T "$new/files" "$store/$version" 2>/dev/null || [ -d "$store/$version" ]
        echo "$version" >"$new/last"
        mv "$new/last" "$store/last"
        rm -rf "$new"
        return 0
    fi
    rm -rf "$new"
    return 1
}

fetch_later() { # The admin may have begun just now, and be found here a moment later.
    tries=15
    until from_admin /healthz /dev/null 2>/dev/null || [ $((tries -= 1)) = 0 ]; do sleep 1; done
    fetch
}

last() { cat "$store/last" 2>/dev/null || echo none; }

forget_others() { # What no container of this node serves any more.
    for found in "$store"/*; do
        case ${found##*/} in
            "$version" | "$1" | last | new.*) ;;
            *) rm -rf "$found" ;;
        esac
    done
}

printf '%s' "$NGINX_TYPES" >/tmp/types.conf
printf '%s' "$NGINX_CONF" >/tmp/nginx.conf
mkdir -p /tmp/nothing
before=$(last)
if [ -n "$folder" ] && [ -d "$folder" ]; then
    serve "$folder"
elif [ "$version" = 0 ]; then
    echo '<!doctype html><meta charset="utf-8"><title>Backpack</title><p>Nothing has been deployed here yet.' \
        >/tmp/nothing/index.html
    serve /tmp/nothing
elif [ -d "$store/$version" ] || fetch || { [ ! -d "$store/$before" ] && fetch_later; }; then
    serve "$store/$version"
    forget_others "$before"
elif [ ! -d "$store/$before" ] || from_admin /healthz /dev/null 2>/dev/null; then
    say "version $version cannot be had"
    exit 1
else
    say "the admin is away: serving version $before instead of $version"
    serve "$store/$before"
    (until fetch 2>/dev/null; do sleep 5; done; serve "$store/$version"; say "serving version $version") &
fi
nginx -c /tmp/nginx.conf &
server=$!
# Traefik needs a moment to see that this one goes.
trap 'sleep 3; kill -QUIT $server' TERM INT
wait $server || wait $server
