#!/bin/sh
# Deploys a folder from any CI system: needs sh, tar and curl, and knows no vendor. Set
#
#   PAASD_API            the API, such as https://api.paas.example
#   PAASD_DEPLOY_TOKEN   a secret of the pipeline; `paasd --space ORG/SPACE deploy-token create NAME` makes it
#   PAASD_SPACE          ORG/SPACE, where the token was made
#
#   examples/ci/deploy.sh APP [FOLDER]
#
# It ends with 0 when the app is up, and shows how staging goes until then. PAASD_CA names the file with the platform's
# CA where that is not one that curl knows. With the cf CLI the same is:
#   cf api "$PAASD_API"; cf auth "${PAASD_DEPLOY_TOKEN%.*}" "${PAASD_DEPLOY_TOKEN#*.}" --client-credentials
#   cf target -o ORG -s SPACE; cf push APP
set -eu
app=${1:?usage: deploy.sh APP [FOLDER]}
folder=${2:-.}
: "${PAASD_API:?}" "${PAASD_DEPLOY_TOKEN:?}" "${PAASD_SPACE:?}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

tar -czf "$work/app.tar.gz" --exclude=.git -C "$folder" .
# The token goes in by a file: arguments of programs can be read by others on the machine.
(umask 077; printf 'header = "Authorization: bearer %s"\n' "$PAASD_DEPLOY_TOKEN" > "$work/curl")
curl --silent --show-error --no-buffer --config "$work/curl" ${PAASD_CA:+--cacert "$PAASD_CA"} \
  --form "bits=@$work/app.tar.gz" "$PAASD_API/paasd/v1/spaces/$PAASD_SPACE/push?name=$app&wait=true" |
  tee "$work/said"
# The answer streams, so its last line says how the push ended, not its status.
tail -n 1 "$work/said" | grep -q "^OK "
