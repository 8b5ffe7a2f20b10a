#!/bin/sh
# Compiles the load generator, the subscribers of topics, the raw epoll server and the counter into
# .cache/bench/bin.
# Needs a C compiler and the headers of OpenSSL and zlib (Debian: libssl-dev zlib1g-dev).
set -eu
cd "$(dirname "$0")"
bin=${1:-../.cache/bench/bin}
mkdir -p "$bin"
cc=${CC:-cc}
flags="-std=c11 -O2 -g -Wall -Wextra -Werror -D_GNU_SOURCE"
# Moved into place when done: a run may be under way with the old one.
# shellcheck disable=SC2086
"$cc" $flags -o "$bin/generator.new" generator/*.c -lssl -lcrypto -lz
# shellcheck disable=SC2086
"$cc" $flags -o "$bin/subscribers.new" subscribers/subscribers.c
# shellcheck disable=SC2086
"$cc" $flags -o "$bin/raw_epoll.new" servers/raw_epoll.c -lcrypto
# shellcheck disable=SC2086
"$cc" $flags -o "$bin/threads.new" servers/threads.c -pthread
# shellcheck disable=SC2086
"$cc" $flags -shared -fPIC -o "$bin/counter.so.new" counter/counter.c -ldl
mv "$bin/counter.so.new" "$bin/counter.so"
mv "$bin/generator.new" "$bin/generator"
mv "$bin/subscribers.new" "$bin/subscribers"
mv "$bin/raw_epoll.new" "$bin/raw_epoll"
mv "$bin/threads.new" "$bin/threads"
