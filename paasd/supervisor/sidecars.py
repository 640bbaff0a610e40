"""Sidecars share the container and the fate of the app: when one program ends, the instance ends.

They are started by a small script inside, not by exec: what is exec'd dies with the daemon, and instances must not.
"""

from collections.abc import Sequence

# $1 is the number of sidecars; for each follow its name, the length of its argv and the argv; the rest is the app's.
_SCRIPT = r"""
declare -A names
pids=()
count=$1; shift
for ((i = 0; i < count; i++)); do
  name=$1; length=$2; shift 2
  "${@:1:length}" &
  pids+=($!); names[$!]=$name
  shift "$length"
done
"$@" &
app=$!
trap 'kill -TERM "$app" "${pids[@]}" 2>/dev/null; wait "$app"; exit $?' TERM
wait -n -p ended "$app" "${pids[@]}"
status=$?
if [ "$ended" != "$app" ]; then
  echo "Sidecar ${names[$ended]} exited with status $status" >&2
  [ "$status" != 0 ] || status=1
fi
exit "$status"
"""


def with_sidecars(app: Sequence[str], sidecars: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """argv that runs `app` and the sidecars `(name, argv)` beside it, passes TERM on, and ends with whichever ends."""
    arguments: list[str] = [str(len(sidecars))]
    for name, argv in sidecars:
        arguments += [name, str(len(argv)), *argv]
    return ["/bin/bash", "-c", _SCRIPT, "launcher", *arguments, *app]
