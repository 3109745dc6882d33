#!/bin/sh
# A batch job beside a gateway of its own: it starts when the gateway is ready, and the gateway ends after it.
#   sh job.sh acme orders < orders.ndjson
set -eu
home=$1 topic=$2
mesh gateway run --config "$home/mesh.toml" > "$home/job.log" 2>&1 < /dev/null &
MESH_API_STATE="$home/state" mesh --dir "$home" await --shutdown -- python "$(dirname "$0")/publish.py" "$topic"
wait
