#!/bin/sh
# Counts to ten, a number a second. Try: duologue run --port=8080 ./count.sh
for number in 1 2 3 4 5 6 7 8 9 10; do
    echo "$number"
    sleep "${1:-1}"
done
