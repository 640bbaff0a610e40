#!/bin/sh
# Looks into the first instance of an app without touching what it serves:  look.sh APP FOLDER
#
# Where and as whom: PAASD_API, PAASD_USER, PAASD_PASSWORD, PAASD_CA, PAASD_SPACE; on a node, as root, nothing.
# FOLDER gets what runs, the environment's names, and the answer that the app gives to itself.
set -eu
app=$1
folder=$2
mkdir -p "$folder"

paasd ssh "$app" -c 'ps -eo pid,rss,etime,args' > "$folder/processes.txt"
paasd ssh "$app" -c 'env | cut -d= -f1 | sort' > "$folder/names.txt"

# A file that is made inside, fetched, and gone with the instance.
paasd ssh "$app" -c 'df -P "$HOME" > disk.txt'
paasd cp "$app:disk.txt" "$folder/disk.txt"

# The app's own port, past routers and routes, by a port of this machine.
port=${LOOK_PORT:-9000}
paasd ssh "$app" -N -L "$port:localhost:8080" &
forward=$!
trap 'kill $forward' EXIT
curl --silent --retry 20 --retry-connrefused --retry-delay 1 "http://127.0.0.1:$port/" > "$folder/answer.txt"
