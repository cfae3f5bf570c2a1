# weir.bash - completion of the weir program for bash.

_weir() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} i
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        -e | -l | --timeout | --seed | --explore) ((i++)) ;; # and their value
        -*) ;;
        *) # the script: what follows is its own
            if [ "${COMP_WORDS[i]}" = build ]; then
                mapfile -t COMPREPLY < <(compgen -W '-o -m -x --help' -- "$word")
            fi
            compopt -o default 2>/dev/null
            return
            ;;
        esac
    done
    case $before in
    -e | -l | --timeout | --seed | --explore) return ;;
    esac
    case $word in
    -*) mapfile -t COMPREPLY < <(compgen -W '-e -l -i -v -h --timeout --virtual-time --seed --explore --stats --version --help' -- "$word") ;;
    *)
        mapfile -t COMPREPLY < <(compgen -W 'busted new build' -- "$word"; compgen -f -X '!*.lua' -- "$word"; compgen -d -- "$word")
        compopt -o filenames 2>/dev/null
        ;;
    esac
}
complete -F _weir weir
