#!/bin/sh
# Inside a container of Debian that has what the image is built with: builds the program and the
# unit tests, warnings being errors, and runs the tests.
#
#   suite.sh SOURCE REPORT
set -e
apt-get update -q
DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
    gcc libc6-dev cmake ninja-build pkg-config librabbitmq-dev libhiredis-dev \
    libcurl4-openssl-dev libmicrohttpd-dev libyaml-dev zlib1g-dev libuv1-dev libjansson-dev \
    libpcre2-dev libssl-dev libsqlite3-dev libcmocka-dev redis-server openssl
cmake -S "$1" -B /build -G Ninja -DCMAKE_BUILD_TYPE=Release -DSR3SUB_TESTS=ON
cmake --build /build -j 2
ctest --test-dir /build -L unit --output-on-failure --no-tests=error -j 2 --output-junit "$2"
