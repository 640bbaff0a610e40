"""Sidecars share the container and the fate of the app: when one program ends, the instance ends.

They are started by a small script inside, not by exec: what is exec'd dies with the daemon, and instances must not.
"""

from collections.abc import Sequence

# $1 is the number of sidecars; for each follow its name, the length of its argv and the argv; the rest is the app's.
# Each program reports its own end through a pipe: `wait -n` misses one that ends before it is called.
_SCRIPT = r"""
exec {report}<> <(:)
begin() {
  local name=$1; shift
  ( trap : TERM; "$@" {report}>&-; echo "$? $name" >&$report ) &
}
count=$1; shift
for ((i = 0; i < count; i++)); do
  name=$1; length=$2; shift 2
  begin "$name" "${@:1:length}"
  shift "$length"
done
stopping=
trap 'trap "" TERM; stopping=1; kill -TERM 0' TERM
begin "" "$@"
while read -r status name <&$report || [ "$stopping" ]; do
  if [ -z "$name" ]; then exit "${status:-143}"; fi
  [ "$stopping" ] && continue
  echo "Sidecar $name exited with status $status" >&2
  [ "$status" != 0 ] || status=1
  exit "$status"
done
"""


def with_sidecars(app: Sequence[str], sidecars: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """argv that runs `app` and the sidecars `(name, argv)` beside it, passes TERM on, and ends with whichever ends."""
    arguments: list[str] = [str(len(sidecars))]
    for name, argv in sidecars:
        arguments += [name, str(len(argv)), *argv]
    return ["/bin/bash", "-c", _SCRIPT, "launcher", *arguments, *app]
