/**
 * What rung exec runs in the application's container, by its `sh`: POSIX shell, builtin commands and `toolNames` only.
 * Values come as arguments or over stdin, never inside the text of a script. Checked with dash and busybox.
 */

/** Programs that delivery needs beside the shell. */
export const toolNames = ['head', 'mkdir', 'rm', 'sha256sum'] as const;

/**
 * Reports as `key=value` lines what the container has; `end=1` is the last, since exec can lose the tail of its output.
 * Arguments: directories to try. The java of the running JVM is preferred: it is the one that is sure to work.
 */
export const probeScript = `
for tool in ${toolNames.join(' ')}; do
  command -v "$tool" >/dev/null 2>&1 || echo "missing=$tool"
done
java=
for exe in /proc/[0-9]*/exe; do
  path=$(readlink "$exe" 2>/dev/null) || continue
  case $path in */bin/java) [ -x "$path" ] && java=$path && break ;; esac
done
[ -n "$java" ] || java=$(command -v java 2>/dev/null) || java=
[ -n "$java" ] || { [ -x "\${JAVA_HOME:-}/bin/java" ] && java=$JAVA_HOME/bin/java; }
if [ -n "$java" ]; then
  real=$(readlink -f "$java" 2>/dev/null) && [ -x "$real" ] && java=$real
  echo "java=$java"
  home=\${java%/bin/java}
  if [ -r "$home/release" ]; then
    while IFS= read -r line; do
      case $line in JAVA_VERSION=*) echo "javaVersion=\${line#*=}" ;; esac
    done <"$home/release"
  fi
  if [ -x "$home/bin/jcmd" ]; then echo "jcmd=$home/bin/jcmd"
  elif [ -x "$home/../bin/jcmd" ]; then echo "jcmd=$home/../bin/jcmd"
  fi
fi
while read -r key value rest; do
  case $key in Uid:) echo "uid=$value" ;; esac
done </proc/self/status
show() {
  [ -r "$2" ] || return 0
  read -r value <"$2" && echo "$1=$value"
}
show limitBytes /sys/fs/cgroup/memory.max
show usedBytes /sys/fs/cgroup/memory.current
show limitBytes /sys/fs/cgroup/memory/memory.limit_in_bytes
show usedBytes /sys/fs/cgroup/memory/memory.usage_in_bytes
for stat in /sys/fs/cgroup/memory.stat /sys/fs/cgroup/memory/memory.stat; do
  [ -r "$stat" ] || continue
  while read -r key value; do
    case $key in inactive_file | active_file) echo "fileBytes=$value" ;; esac
  done <"$stat"
done
for directory in "$@"; do
  [ -d "$directory" ] && [ -w "$directory" ] && echo "writable=$directory"
done
echo end=1
`;

/**
 * Takes one line for the agent's input, then the jar, from stdin; checks length and SHA-256; starts the agent so that
 * it outlives the exec; prints its answer. Options of the application's own JVM must not reach it: they may hold another
 * agent, a port, or a heap of many GiB.
 * Arguments: the directory to make, bytes and SHA-256 of the jar, java, and java's options.
 */
export const deliveryScript = `
umask 077
directory=$1 bytes=$2 sum=$3 java=$4
shift 4
refuse() {
  echo "{\\"outcome\\":\\"refused\\",\\"reason\\":\\"$1\\",\\"message\\":\\"$2\\"}"
  exit 3
}
IFS= read -r input || refuse AgentStartFailed "no input came"
mkdir "$directory" 2>/dev/null || refuse AgentStartFailed "its directory exists already, or cannot be made"
jar=$directory/agent.jar
head -c "$bytes" >"$jar"
found=$(sha256sum "$jar")
if [ "\${found%% *}" != "$sum" ]; then
  rm -rf "$directory"
  refuse AgentStartFailed "the jar came damaged: not $bytes bytes of its SHA-256"
fi
unset JAVA_TOOL_OPTIONS JDK_JAVA_OPTIONS _JAVA_OPTIONS CLASSPATH
cd /
apart=
if command -v setsid >/dev/null 2>&1; then apart=setsid
elif command -v nohup >/dev/null 2>&1; then apart=nohup
fi
{ echo "$input" | $apart "$java" "$@" -jar "$jar" 2>&1 & } | {
  count=0
  while IFS= read -r line; do
    case $line in
      '{"outcome":"accepted"'*) echo "$line"; exit 0 ;;
      '{'*) echo "$line"; rm -rf "$directory"; exit 3 ;;
    esac
    count=$((count + 1))
    [ "$count" -gt 5 ] || echo "$line" >&2
  done
  rm -rf "$directory"
  exit 4
}
`;

/** As much output as it is told, to measure how fast an exec brings it. Argument: bytes. */
export const measureScript = 'head -c "$1" /dev/zero';

/** Serves what a relayed agent has left. Arguments: java, its options, and what it is to run. */
export const relayScript = `
unset JAVA_TOOL_OPTIONS JDK_JAVA_OPTIONS _JAVA_OPTIONS CLASSPATH
cd /
exec "$@"
`;

/** Tells a relayed agent that it may remove everything and end. Argument: its directory. */
export const releaseScript = ': >"$1/done"';
