# Completion of portloom for bash. Made by `portloom completion bash`; do not edit.
_portloom() {
  local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} path= words= word i
  for ((i = 1; i < COMP_CWORD; ++i)); do
    word=${COMP_WORDS[i]}
    case "${path:+$path }$word" in
      'run' | 'check' | 'explain' | 'plan' | 'routes' | 'diff' | 'schema' | 'version' | 'key' | 'key new' | 'demo' | 'register' | 'completion' | 'manual') path=${path:+$path }$word ;;
    esac
  done
  case "$path:$before" in
    'run:--io') words='auto io_uring epoll' ;;
    'check:--format') words='text json github' ;;
    'explain:--format') words='text json' ;;
    'plan:--format') words='svg text json' ;;
  esac
  [ -n "$words" ] || case "$path" in
    '') words='run check explain plan routes diff schema version key demo register completion manual -h --help' ;;
    'run') words='-h --help -c --config --listen --to --print --io --workers' ;;
    'check') words='-h --help --format --print' ;;
    'explain') words='-h --help -H --header --listener --from --format' ;;
    'plan') words='-h --help --format' ;;
    'routes') words='-h --help' ;;
    'diff') words='-h --help' ;;
    'schema') words='-h --help' ;;
    'version') words='-h --help' ;;
    'key') words='new -h --help' ;;
    'key new') words='-h --help' ;;
    'demo') words='-h --help --port' ;;
    'register') words='-h --help --port --registry --etcd --etcd-path --address --id --zone --instance-version --weight --metadata --ttl --drain --token-file --username --password-file --ca' ;;
    'completion') words='-h --help bash zsh' ;;
    'manual') words='-h --help' ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
  [ ${#COMPREPLY[@]} != 0 ] || mapfile -t COMPREPLY < <(compgen -f -- "$current")
}
complete -o filenames -F _portloom portloom
